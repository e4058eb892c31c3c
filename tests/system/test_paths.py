"""Where a system may lie."""

from pathlib import Path

from support.instance import NewInstance

SOCKET_PATH_LIMIT = 107  # octets, of sockaddr_un


def test_system_below_a_path_of_200_characters(new_instance: NewInstance, short_path: Path) -> None:
    """No socket path depends on the length of the queue directory's."""
    directory = short_path / ("long-" * 40)[: 200 - len(str(short_path)) - 1]
    assert len(str(directory)) == 200 > SOCKET_PATH_LIMIT
    instance = new_instance(directory=directory)
    instance.start()
    with instance.smtp() as client:
        client.greeted().mail("alice@example.org", ["bob@posthouse.test"], b"Subject: far\r\n\r\n")
    instance.maildir("bob").only()
    instance.reload()
    assert instance.service("smtp")["name"] == "smtp"
    instance.stop()
    instance.wait_gone()


def test_two_systems_on_one_host_share_nothing(new_instance: NewInstance) -> None:
    here, there = new_instance(), new_instance()
    here.start()
    there.start()
    with here.smtp() as client:
        client.greeted().mail("alice@example.org", ["bob@posthouse.test"], b"Subject: here\r\n\r\n")
    here.maildir("bob").only()
    assert not there.maildir("bob").path.exists()
    here.stop()
    here.wait_gone()
    with there.smtp() as client:
        client.greeted()
