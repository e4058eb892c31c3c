"""The sandbox from inside: each case runs in a child, for there is no way back out."""

import errno
import importlib
import json
import multiprocessing
import os
import resource
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn, Protocol

import msgspec
import pytest

from mta.config.parameters import Parameters
from mta.config.tables import tables_of
from mta.lookup.places import ports_of
from mta.master import sandbox
from mta.master.sandbox import Needs, SandboxError, enter_sandbox, expand
from mta.util.landlock import landlock_abi
from mta.util.log import Log

pytestmark = pytest.mark.skipif(landlock_abi() < 2, reason="this kernel has no Landlock")


class Within(Protocol):
    """Try a step inside the sandbox, others being done outside before; the name of its error."""

    def __call__(
        self,
        needs: Needs,
        step: Callable[[], object],
        outside: Callable[[], object] | None = None,
    ) -> str: ...


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("config", "incoming", "deferred", "mail", "private", "log"):
        (tmp_path / name).mkdir()
    (tmp_path / "private/key").write_text("secret")
    (tmp_path / "config/1.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def parameters(place: Path) -> Parameters:
    return Parameters(
        queue_directory=str(place),
        log_file=str(place / "log/mail.log"),
        myhostname="posthouse.test",
        virtual_mailbox_base=str(place / "mail"),
    )


@pytest.fixture
def log(place: Path) -> Iterator[Log]:
    descriptor = os.open(place / "lines", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    yield Log(descriptor, "test", "test", 1)
    os.close(descriptor)


@pytest.fixture
def within(parameters: Parameters, log: Log) -> Within:
    context = multiprocessing.get_context("fork")

    def run(
        needs: Needs,
        step: Callable[[], object],
        outside: Callable[[], object] | None = None,
    ) -> str:
        reader, writer = context.Pipe()

        def child() -> None:
            enter_sandbox(needs, parameters, 10, log, [parameters])
            writer.send("inside")
            writer.recv()
            try:
                step()
            except OSError as error:
                writer.send(errno.errorcode[error.errno or 0])
            else:
                writer.send("")

        process = context.Process(target=child)
        process.start()
        writer.close()
        with reader:
            assert reader.recv() == "inside"
            if outside is not None:
                outside()
            reader.send("go on")
            outcome: str = reader.recv()
        process.join()
        return outcome

    return run


def test_nothing_is_open_without_a_need(within: Within) -> None:
    assert within(Needs(), lambda: Path("private/key").read_text()) == "EACCES"
    assert within(Needs(), lambda: os.listdir(".")) == "EACCES"
    assert within(Needs(), lambda: os.listdir("/")) == "EACCES"
    assert within(Needs(), lambda: Path("/etc/passwd").read_text()) == "EACCES"
    assert within(Needs(), lambda: Path("incoming/x").write_text("x")) == "EACCES"


def test_what_every_daemon_gets(within: Within) -> None:
    assert within(Needs(), lambda: Path("config/1.json").read_text()) == ""
    assert within(Needs(), lambda: Path("/etc/hosts").read_text()) == ""
    assert within(Needs(), lambda: Path("/dev/null").read_bytes()) == ""
    assert within(Needs(), lambda: importlib.reload(json)) == ""
    assert within(Needs(), lambda: Path(sandbox.__file__).read_text()) == ""


def test_the_folder_around_the_package_is_not_granted(within: Within) -> None:
    root = Path(sandbox.__file__).parents[2]
    assert within(Needs(), lambda: os.listdir(root)) == "EACCES"


def test_reading_is_not_writing(within: Within) -> None:
    needs = Needs(read=("private",))
    assert within(needs, lambda: Path("private/key").read_text()) == ""
    assert within(needs, lambda: Path("private/key").write_text("x")) == "EACCES"
    assert within(needs, lambda: Path("private/key").unlink()) == "EACCES"
    assert within(needs, lambda: os.truncate("private/key", 0)) == "EACCES"


def test_one_file_can_be_granted(within: Within) -> None:
    needs = Needs(read=("private/key",))
    assert within(needs, lambda: Path("private/key").read_text()) == ""
    assert within(needs, lambda: os.listdir("private")) == "EACCES"


class TestFilesThatGetReplaced:
    """The kernel grants a file, not its name: what takes its place is another file."""

    NEEDS = Needs(replaced=("$smtpd_tls_cert_file", "$smtpd_tls_key_file"))

    @pytest.fixture
    def parameters(self, parameters: Parameters, place: Path) -> Parameters:
        for folder in ("live", "archive"):
            (place / folder).mkdir()
        (place / "archive/cert1").write_text("one")
        (place / "live/cert").symlink_to("../archive/cert1")
        return msgspec.structs.replace(parameters, smtpd_tls_cert_file=f"{place}/live/cert")

    def test_by_a_rename(self, within: Within, place: Path) -> None:
        def renew() -> None:
            (place / "live/new").write_text("two")
            (place / "live/new").rename(place / "live/cert")

        assert within(self.NEEDS, Path("live/cert").read_text, renew) == ""

    def test_by_a_link_to_another(self, within: Within, place: Path) -> None:
        def renew() -> None:
            (place / "archive/cert2").write_text("two")
            (place / "live/cert").unlink()
            (place / "live/cert").symlink_to("../archive/cert2")

        assert within(self.NEEDS, Path("live/cert").read_text, renew) == ""
        assert Path("live/cert").read_text() == "two"

    def test_a_plain_need_would_not_do(self, within: Within, place: Path) -> None:
        def renew() -> None:
            (place / "live/new").write_text("two")
            (place / "live/new").rename(place / "live/cert")

        needs = Needs(read=("$smtpd_tls_cert_file",))
        assert within(needs, Path("live/cert").read_text, renew) == "EACCES"

    def test_reading_only(self, within: Within) -> None:
        assert within(self.NEEDS, lambda: Path("live/cert").write_text("x")) == "EACCES"
        assert within(self.NEEDS, lambda: Path("private/key").read_text()) == "EACCES"

    def test_a_folder_that_is_not_there(self, within: Within, place: Path) -> None:
        (place / "live/cert").unlink()
        (place / "live").rmdir()
        assert within(self.NEEDS, lambda: Path("archive/cert1").read_text()) == "EACCES"


class TestTables:
    """The folders of all tables that a row's parameters name, and the ports of their servers."""

    NEEDS = Needs(tables=True)

    @pytest.fixture
    def parameters(self, parameters: Parameters, place: Path) -> Parameters:
        for folder in ("tables", "databases", "linked", "elsewhere"):
            (place / folder).mkdir()
        (place / "tables/virtual").write_text("a b")
        (place / "linked/canonical").write_text("a b")
        (place / "tables/canonical").symlink_to("../linked/canonical")
        query = f"dbpath = {place}/databases/db\nquery = SELECT 1\n"
        (place / "tables/query").write_text(query)
        (place / "databases/db").write_text("")
        (place / "elsewhere/other").write_text("a b")
        return msgspec.structs.replace(
            parameters,
            canonical_maps=(f"unionmap:{{static:a, texthash:{place}/tables/canonical}}",),
            virtual_alias_maps=(f"sqlite:{place}/tables/query", f"cdb:{place}/missing/table"),
            relocated_maps=("socketmap:inet:localhost:2000:a",),
        )

    @pytest.mark.parametrize("path", ["tables/virtual", "tables/canonical", "databases/db"])
    def test_can_be_read(self, within: Within, path: str) -> None:
        assert within(self.NEEDS, Path(path).read_bytes) == ""
        assert within(self.NEEDS, lambda: Path(path).write_text("x")) == "EACCES"
        assert within(Needs(), Path(path).read_bytes) == "EACCES"

    def test_nothing_beside_them(self, within: Within) -> None:
        assert within(self.NEEDS, Path("elsewhere/other").read_bytes) == "EACCES"
        assert within(self.NEEDS, Path("private/key").read_bytes) == "EACCES"

    def test_renewed(self, within: Within) -> None:
        """A table replaced by rename, as `mta map build` does it, stays within reach."""

        def renew() -> None:
            Path("tables/new").write_text("c d")
            Path("tables/new").rename("tables/virtual")

        assert within(self.NEEDS, Path("tables/virtual").read_bytes, renew) == ""

    @pytest.mark.skipif(landlock_abi() < 4, reason="this kernel restricts no ports")
    def test_servers(self, within: Within, monkeypatch: pytest.MonkeyPatch) -> None:
        def connect(port: int) -> Callable[[], object]:
            return lambda: socket.create_connection(("127.0.0.1", port), 10)

        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            assert within(Needs(tables=True, table_servers=True), connect(port)) == "EACCES"
            monkeypatch.setattr("mta.lookup.places.ports_of", lambda _: frozenset({port}))
            assert within(Needs(tables=True, table_servers=True), connect(port)) == ""
            assert within(self.NEEDS, connect(port)) == "EACCES"

    def test_ports_are_those_that_tables_name(self, parameters: Parameters) -> None:
        assert ports_of(tables_of([parameters])) == {2000}


def test_queue_files_can_live_and_move(within: Within) -> None:
    def life() -> None:
        os.mkdir("incoming/A", 0o700)
        Path("incoming/A/file").write_text("x")
        os.truncate("incoming/A/file", 0)
        os.rename("incoming/A/file", "deferred/file")
        os.listdir("deferred")
        os.unlink("deferred/file")
        os.rmdir("incoming/A")

    assert within(Needs(write=("incoming", "deferred")), life) == ""
    assert within(Needs(write=("incoming",)), life) == "EACCES"


def test_links_out_of_a_granted_folder_lead_nowhere(within: Within, place: Path) -> None:
    (place / "incoming/link").symlink_to(place / "private/key")
    needs = Needs(write=("incoming",))
    assert within(needs, lambda: Path("incoming/link").read_text()) == "EACCES"
    assert within(needs, lambda: os.symlink("x", "incoming/y")) == "EACCES"
    assert within(needs, lambda: os.mkfifo("incoming/z")) == "EACCES"


def test_nothing_can_be_executed(within: Within) -> None:
    step = lambda: os.posix_spawn("/bin/true", ["true"], {})  # noqa: E731
    assert within(Needs(write=("incoming",)), step) == "EACCES"


@pytest.mark.skipif(landlock_abi() < 4, reason="this kernel's Landlock knows no TCP")
def test_tcp_is_what_needs_says(within: Within) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = server.getsockname()
        connect = lambda: socket.create_connection(where).close()  # noqa: E731
        assert within(Needs(), connect) == "EACCES"
        assert within(Needs(tcp_connect=(where[1] - 1,)), connect) == "EACCES"
        assert within(Needs(tcp_connect=(where[1],)), connect) == ""
        assert within(Needs(tcp_connect_any=True), connect) == ""
        bind = lambda: socket.create_server(("127.0.0.1", 0)).close()  # noqa: E731
        assert within(Needs(tcp_connect=(where[1],)), bind) == "EACCES"
        assert within(Needs(tcp_connect_any=True), bind) == "EACCES"


@pytest.mark.skipif(landlock_abi() < 6, reason="this kernel's Landlock knows no scopes")
def test_no_signal_leaves_the_sandbox(within: Within) -> None:
    outside = os.getpid()
    assert within(Needs(), lambda: os.kill(outside, 0)) == "EPERM"
    assert within(Needs(), lambda: os.kill(os.getpid(), 0)) == ""


def test_sockets_in_the_file_system_stay_reachable(within: Within, place: Path) -> None:
    def connect() -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.connect("private/service")

    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.bind("private/service")
        server.listen()
        assert within(Needs(), connect) == ""


def test_later_threads_are_inside_too(within: Within) -> None:
    def in_thread() -> None:
        failures: list[OSError] = []

        def step() -> None:
            try:
                os.listdir("private")
            except OSError as error:
                failures.append(error)

        thread = threading.Thread(target=step)
        thread.start()
        thread.join()
        raise failures[0]

    assert within(Needs(), in_thread) == "EACCES"


def test_privileges_and_cores_are_given_up(within: Within) -> None:
    def look() -> None:
        assert "NoNewPrivs:\t1" in Path("/proc/self/status").read_text()
        assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)

    assert within(Needs(read=("/proc",)), look) == ""


def test_a_kernel_without_landlock_is_said(
    within: Within, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "landlock_abi", lambda: 1)
    assert within(Needs(), lambda: Path("private/key").read_text()) == ""
    (line,) = (json.loads(text) for text in Path("lines").read_text().splitlines())
    assert (line["event"], line["missing"]) == ("sandbox_incomplete", "landlock")


DISTANT = Needs(write=("incoming", "$virtual_mailbox_base"), distant=("$virtual_mailbox_base",))


def test_a_distant_folder_that_is_there_is_granted(within: Within) -> None:
    assert within(DISTANT, lambda: Path("mail/x").write_text("x")) == ""
    assert within(DISTANT, lambda: os.rename("mail/x", "incoming/x")) == ""


@pytest.mark.parametrize("error", [TimeoutError("no answer"), OSError(errno.ESTALE, "stale")])
def test_a_distant_folder_that_is_away_keeps_nobody_from_starting(
    within: Within, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    """The rest is granted, the log tells, and the folder stays closed when it is back."""

    def away(path: str, timeout: float) -> NoReturn:
        raise error

    monkeypatch.setattr(sandbox, "open_distant", away)
    assert within(DISTANT, lambda: Path("mail/x").write_text("x")) == "EACCES"
    assert within(DISTANT, lambda: Path("incoming/x").write_text("x")) == ""
    line = json.loads(Path("lines").read_text().splitlines()[0])
    assert line["event"] == "folder_away"
    assert line["directory"].endswith("/mail")


def test_too_few_descriptors_are_said(parameters: Parameters, log: Log) -> None:
    context = multiprocessing.get_context("fork")

    def child() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (50, 100))
        enter_sandbox(Needs(), parameters, 1000, log)

    process = context.Process(target=child)
    process.start()
    process.join()
    (line,) = (json.loads(text) for text in Path("lines").read_text().splitlines())
    assert (line["event"], line["granted"]) == ("descriptors_limited", 100)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("incoming", "incoming"),
        ("$virtual_mailbox_base", "{place}/mail"),
        ("$virtual_mailbox_base/domain", "{place}/mail/domain"),
        ("$log_file/..", "{place}/log"),
        ("/etc/aliases", "/etc/aliases"),
    ],
)
def test_paths_of_needs(parameters: Parameters, place: Path, path: str, expected: str) -> None:
    assert expand(path, parameters) == expected.format(place=place)


@pytest.mark.parametrize(
    ("servers", "ports"),
    [((), {53}), (("192.0.2.1", "[192.0.2.2]:5353", "[::1]:5353"), {53, 5353})],
)
def test_ports_of_name_servers_are_what_the_configuration_says(
    parameters: Parameters, servers: tuple[str, ...], ports: set[int]
) -> None:
    configured = msgspec.structs.replace(parameters, dns_servers=servers)
    assert sandbox._name_server_ports(Needs(name_servers=True), configured) == ports
    assert sandbox._name_server_ports(Needs(), configured) == set()


@pytest.mark.parametrize("path", ["$nonsense", "$hopcount_limit", "$relayhost"])
def test_a_need_for_no_path_is_refused(parameters: Parameters, path: str) -> None:
    with pytest.raises(SandboxError, match="holds no path"):
        expand(path, parameters)


class TestCommands:
    """An operator's programs: they read and run what files' modes allow, and write where named."""

    NEEDS = Needs(commands="$pipe_writable")

    @pytest.fixture
    def parameters(self, parameters: Parameters, place: Path) -> Parameters:
        return msgspec.structs.replace(parameters, pipe_writable=(str(place / "mail"),))

    def test_run(self, within: Within, place: Path) -> None:
        def step() -> None:
            said = subprocess.run(["/bin/cat", place / "private/key"], check=True, stdout=-1)
            assert said.stdout == b"secret"

        assert within(self.NEEDS, step) == ""

    def test_write(self, within: Within) -> None:
        def step() -> None:
            Path("mail/new").write_text("x")
            os.symlink("new", "mail/link")
            Path("/dev/null").write_text("x")

        assert within(self.NEEDS, step) == ""

    def test_nothing_elsewhere(self, within: Within) -> None:
        assert within(self.NEEDS, lambda: Path("incoming/x").write_text("x")) == "EACCES"

    def test_nobody_else_runs_anything(self, within: Within) -> None:
        assert within(Needs(), lambda: subprocess.run(["/bin/true"], check=True)) == "EACCES"
