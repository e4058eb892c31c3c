"""What a started system leaves on its host, asserted from outside, as on any host of a roll-out."""

import pytest
import testinfra
from support.instance import Instance, separated
from testinfra.host import Host


@pytest.fixture
def host() -> Host:
    return testinfra.get_host("local://")


@pytest.mark.parametrize("name", ["private", "pid", "incoming", "deferred", "hold", "corrupt"])
def test_protected_directories_are_closed_to_others(
    instance: Instance, host: Host, name: str
) -> None:
    """Whoever could enter would read mail, or speak to the daemons behind smtpd's back."""
    directory = host.file(str(instance.queue / name))
    assert directory.is_directory
    assert not directory.mode & 0o006
    assert directory.mode & 0o001 == (name == "pid" and separated()), "only a lock is passed to"
    queue_files = name not in ("private", "pid")
    assert directory.user == ("mta" if separated() and queue_files else host.user().name)


@pytest.mark.requires("ss")
def test_the_only_open_port_is_the_one_in_the_table(instance: Instance, host: Host) -> None:
    """A daemon that listens where nobody looks is found by others first."""
    masters = {f"pid={process.pid}," for process in instance.processes()}
    listening = [
        line
        for line in host.run("ss --tcp --udp --listening --numeric --processes").stdout.splitlines()
        if any(pid in line for pid in masters)
    ]
    assert [line.split()[4] for line in listening] == [f"127.0.0.1:{instance.port}"]


def test_configuration_in_force_holds_for_all_readers(instance: Instance, host: Host) -> None:
    """Daemons of other users must read it; none may change it."""
    for name in ("config", "config/1.json", "config/supervisord.conf"):
        assert not host.file(str(instance.queue / name)).mode & 0o022


def test_no_file_is_set_uid_or_set_gid(instance: Instance, host: Host) -> None:
    """Privilege comes from the service table alone."""
    found = host.check_output(f"find {instance.directory} -type f -perm /6000")
    assert found == ""
