"""The daemon skeleton, seen by its master and by its clients: one real process a test."""

import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import tiny_daemon
from support.own_master import DaemonProcess, listen_tcp, write_snapshot
from support.waiting import wait_until

from mta.master.channel import Bye, Command, Counters, Crossing, encode

TINY = str(Path(tiny_daemon.__file__).resolve())
NOBODY = 65534
FREE, FULL = Crossing("free"), Crossing("full")

Start = Callable[..., DaemonProcess]


class Door:
    """A listener of the test's, and the clients that came through it."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self.server = stack.enter_context(listen_tcp())
        self.address = f"inet:127.0.0.1:{self.server.getsockname()[1]}"

    def fileno(self) -> int:
        return self.server.fileno()

    def connect(self) -> socket.socket:
        client = socket.create_connection(self.server.getsockname(), timeout=10)
        return self._stack.enter_context(client)

    def greeted(self) -> socket.socket:
        client = self.connect()
        assert line(client) == f"hello {self.address}"
        return client


@pytest.fixture
def door() -> Iterator[Door]:
    with contextlib.ExitStack() as stack:
        yield Door(stack)


def furnish(path: Path) -> None:
    for name in ("readable", "writable", "writable/a", "writable/b", "private"):
        (path / name).mkdir()
    (path / "readable/file").write_text("x")
    (path / "private/file").write_text("secret")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    furnish(tmp_path)
    return tmp_path


@pytest.fixture
def start(place: Path, door: Door) -> Iterator[Start]:
    """Start the tiny daemon for a row with these fields, and wait until it is ready."""
    with contextlib.ExitStack() as stack:

        def begin(
            *, pace: str = "60 300", ready: bool = True, name: str = "tiny", **row: object
        ) -> DaemonProcess:
            write_snapshot(place, {"name": name, **row})
            daemon = DaemonProcess(
                [TINY],
                place,
                [(door.address, door.fileno())],
                service=name,
                environment={"PACE": pace},
            )
            stack.enter_context(daemon)
            if ready:
                assert daemon.hear() == FREE
            return daemon

        yield begin


def line(client: socket.socket) -> str:
    """One line, or the empty string at the end of the connection."""
    data = b""
    while not data.endswith(b"\n"):
        octet = client.recv(1)
        if not octet:
            break
        data += octet
    return data.decode().strip()


def greeted(door: Door) -> socket.socket:
    client = door.connect()
    assert line(client) == f"hello {door.address}"
    return client


def ask(client: socket.socket, text: str) -> str:
    client.sendall(text.encode() + b"\n")
    return line(client)


def is_silent(client: socket.socket, seconds: float = 0.2) -> bool:
    client.settimeout(seconds)
    try:
        return client.recv(1) == b"never"
    except TimeoutError:
        return True
    finally:
        client.settimeout(10)


def test_a_full_daemon_leaves_clients_in_the_queue(start: Start, door: Door) -> None:
    daemon = start(client_limit=2)
    first, second = door.greeted(), door.greeted()
    daemon.hear_until(FULL)
    third = door.connect()
    assert is_silent(third)
    assert ask(first, "quit") == "bye"
    assert line(third) == f"hello {door.address}"
    assert ask(second, "quit") == "bye"
    daemon.hear_until(FREE)
    daemon.hear_rest()
    # The place that the third client took at once was not worth a packet.
    assert daemon.of_kind(Crossing) == [FREE, FULL, FREE]


def test_a_flood_never_gets_more_places_than_the_limit(start: Start, door: Door) -> None:
    daemon = start(client_limit=5)
    clients = [door.connect() for _ in range(60)]
    most = 0
    while clients:
        time.sleep(0.002)  # a daemon that took too many would have time to greet them
        inside = [client for client in clients if not is_silent(client, 0.0005)]
        most = max(most, len(inside))
        assert len(inside) <= 5
        for client in inside:
            client.sendall(b"quit\n")
            client.settimeout(10)
            while client.recv(4096):
                pass
            client.close()
            clients.remove(client)
    assert most == 5
    daemon.hear_until(Counters(0, 60))


def test_counters_come_at_most_once_a_second(start: Start, door: Door) -> None:
    daemon = start(client_limit=50)
    began = time.monotonic()
    for _ in range(30):
        with door.greeted() as client:
            ask(client, "quit")
    daemon.hear_until(Counters(0, 30))
    assert len(daemon.of_kind(Counters)) <= 2 + time.monotonic() - began


def test_the_log_line_of_a_start_names_its_origin(start: Start) -> None:
    daemon = start()
    (record,) = wait_until(lambda: daemon.events("started"), "the line")
    assert record["service"] == "tiny"
    assert record["process"] == "tiny_000"
    assert record["pid"] == daemon.process.pid
    assert record["generation"] == 1


def test_an_unused_daemon_ends_after_max_idle(start: Start, door: Door) -> None:
    daemon = start(max_idle=0.5)
    with door.greeted() as client:
        ask(client, "quit")
        ended = time.monotonic()
    daemon.hear_until(Bye("idle"))
    assert 0.4 <= time.monotonic() - ended < 3
    assert daemon.ended() == 0


def test_a_busy_session_keeps_the_daemon_and_an_idle_one_does_not(start: Start, door: Door) -> None:
    daemon = start(max_idle=0.2)
    client = door.greeted()
    with pytest.raises(TimeoutError):
        daemon.hear_until(Bye("idle"), 1.5)
    assert ask(client, "idle") == "ok"
    daemon.hear_until(Bye("idle"), 5)
    assert [line(client), line(client), line(client)] == ["retire", "expire", ""]
    assert daemon.ended() == 0


def test_max_idle_zero_waits_for_the_first_client(start: Start, door: Door) -> None:
    daemon = start(max_idle=0)
    client = door.greeted()
    with pytest.raises(TimeoutError):
        daemon.hear_until(Bye("idle"), 1.5)
    ask(client, "quit")
    daemon.hear_until(Bye("idle"), 1)
    assert daemon.ended() == 0


def test_a_resident_daemon_is_never_idle(start: Start) -> None:
    daemon = start(max_idle=0, restart="always")
    with pytest.raises(TimeoutError):
        daemon.hear(1.5)
    assert daemon.process.poll() is None


def test_a_used_up_daemon_retires_and_finishes_what_it_has(start: Start, door: Door) -> None:
    daemon = start(max_use=4, client_limit=100)
    clients = [door.greeted() for _ in range(4)]
    daemon.hear_until(Bye("max_use"))
    late = door.connect()
    assert is_silent(late)
    assert [line(client) for client in clients] == ["retire"] * 4
    assert daemon.process.poll() is None
    assert [ask(client, "quit") for client in clients] == ["bye"] * 4
    assert daemon.ended() == 0
    daemon.hear_rest()
    assert daemon.of_kind(Counters)[-1] == Counters(0, 4)


def test_max_use_holds_within_one_batch_of_clients(place: Path, door: Door) -> None:
    waiting = [door.connect() for _ in range(10)]
    write_snapshot(place, {"max_use": 2, "client_limit": 100})
    with DaemonProcess([TINY], place, [(door.address, door.fileno())]) as daemon:
        daemon.hear_until(Bye("max_use"))
        assert sum(not is_silent(client, 0.05) for client in waiting) == 2


def test_retire_closes_the_listeners_and_nothing_else(start: Start, door: Door) -> None:
    daemon = start()
    client = door.greeted()
    daemon.tell(Command("retire"))
    assert line(client) == "retire"
    daemon.hear_until(Bye("retired"))
    late = door.connect()
    assert is_silent(late)
    before = daemon.cpu_seconds()
    time.sleep(0.5)
    # A poller that still watched the shared socket would spin on the waiting client.
    assert daemon.cpu_seconds() - before < 0.2
    assert ask(client, "still there?") == "still there?"
    ask(client, "quit")
    assert daemon.ended() == 0
    door.server.settimeout(5)
    door.server.accept()[0].close()  # the client that waited is the next process's


def test_expire_ends_sessions_between_transactions(start: Start, door: Door) -> None:
    daemon = start()
    client = door.greeted()
    daemon.tell(Command("retire"))
    daemon.tell(Command("expire"))
    assert [line(client), line(client), line(client)] == ["retire", "expire", ""]
    assert daemon.ended() == 0


def test_a_retiree_expires_by_itself(start: Start, door: Door) -> None:
    daemon = start(pace="0.5 300")
    client = door.greeted()
    began = time.monotonic()
    daemon.tell(Command("retire"))
    assert [line(client), line(client)] == ["retire", "expire"]
    assert time.monotonic() - began >= 0.4
    assert daemon.ended() == 0


def test_a_retiree_aborts_by_itself(start: Start, door: Door) -> None:
    daemon = start(pace="300 0.5")
    client = door.greeted()
    daemon.tell(Command("retire"))
    assert [line(client), line(client)] == ["retire", "abort"]
    assert daemon.ended() == 0


def test_wake_reaches_the_handler(start: Start, door: Door) -> None:
    daemon = start()
    client = door.greeted()
    daemon.tell(Command("wake"))
    assert line(client) == "wake"


@pytest.mark.parametrize("packet", [b"garbage", b"{}", encode(FREE), b"[" * 30000])
def test_garbage_from_the_master_is_logged_and_changes_nothing(
    start: Start, door: Door, packet: bytes
) -> None:
    daemon = start()
    daemon.channel.send(packet)
    wait_until(lambda: daemon.events("channel_garbage"), "the log line")
    client = door.greeted()
    daemon.tell(Command("wake"))
    assert line(client) == "wake"


def test_a_listener_that_the_daemon_cannot_serve_is_named(place: Path) -> None:
    write_snapshot(place)
    reader, writer = os.pipe()
    with DaemonProcess([TINY], place, [("pipe:log", reader)]) as daemon:
        assert daemon.hear() == Bye("failed")
        assert daemon.ended() == os.EX_TEMPFAIL
        (record,) = daemon.events("start_failed")
        assert record["reason"] == "this daemon cannot serve pipe:log"
    os.close(reader)
    os.close(writer)


def test_without_its_master_a_daemon_ends_within_seconds(start: Start, door: Door) -> None:
    daemon = start()
    client = door.greeted()
    daemon.channel.close()
    assert [line(client), line(client)] == ["retire", "expire"]
    assert daemon.ended(5) == 0


def test_without_its_master_work_in_hand_has_three_seconds(place: Path, door: Door) -> None:
    write_snapshot(place)
    stubborn = place / "stubborn.py"
    stubborn.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(Path(TINY).parent)!r})\n"
        "from tiny_daemon import NEEDS, TinyHandler, TinySession, run\n"
        "TinySession.expire = lambda self: self.say('not yet')\n"
        "TinySession.abort = lambda self: self.say('never')\n"
        "run(needs=NEEDS, handler=TinyHandler)\n"
    )
    with DaemonProcess([str(stubborn)], place, [(door.address, door.fileno())]) as daemon:
        client = door.greeted()
        began = time.monotonic()
        daemon.channel.close()
        assert [line(client) for _ in range(3)] == ["retire", "not yet", "never"]
        assert 2.8 <= time.monotonic() - began < 4
        assert daemon.ended(2) == 0


def test_sigterm_ends_in_order(start: Start, door: Door) -> None:
    daemon = start()
    client = door.greeted()
    daemon.process.send_signal(signal.SIGTERM)
    assert [line(client), line(client)] == ["retire", "expire"]
    assert daemon.ended() == 0
    daemon.hear_rest()
    assert daemon.of_kind(Bye) == [Bye("retired")]
    assert [record["event"] for record in daemon.log()] == [
        "started",
        "retiring",
        "stopped",
        "ended",
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGPIPE])
def test_signals_of_a_terminal_change_nothing(
    start: Start, door: Door, number: signal.Signals
) -> None:
    daemon = start()
    client = door.greeted()
    daemon.process.send_signal(number)
    assert ask(client, "here?") == "here?"


def test_a_client_that_cannot_be_taken_costs_only_itself(start: Start, door: Door) -> None:
    daemon = start(name="faulty", client_limit=1)
    assert line(door.connect()) == ""
    with door.greeted() as client:
        ask(client, "quit")
    (record,) = daemon.events("connect_failed")
    assert "no such luck" in record["traceback"]
    assert record["level"] == "error"


def test_an_exception_in_a_callback_is_logged_and_the_loop_goes_on(
    start: Start, door: Door
) -> None:
    daemon = start()
    client = door.greeted()
    client.sendall(b"boom\n")
    (record,) = wait_until(lambda: daemon.events("unhandled"), "the log line")
    assert "RuntimeError: boom" in record["traceback"]
    assert "_obey" in record["traceback"]
    door.greeted()


def test_a_session_that_ends_twice_is_counted_once(start: Start, door: Door) -> None:
    daemon = start(client_limit=1)
    ends_twice = door.greeted()
    ends_twice.sendall(b"again\n")
    assert line(ends_twice) == ""
    only = door.greeted()
    assert is_silent(door.connect())
    assert len(daemon.events("finished_twice")) == 1
    only.close()


def test_a_daemon_that_cannot_start_says_so(start: Start) -> None:
    daemon = start(name="broken", ready=False)
    assert daemon.hear() == Bye("failed")
    assert daemon.ended() == os.EX_TEMPFAIL
    (record,) = daemon.events("start_failed")
    assert record["reason"] == "cannot start today"


def test_a_daemon_that_is_still_starting_can_be_ended(start: Start) -> None:
    daemon = start(name="slow", ready=False)
    wait_until(lambda: daemon.events("starting"), "the start of the handler")
    daemon.process.terminate()
    assert daemon.ended() == 0
    assert not daemon.events("started")


def test_a_missing_generation_is_named(start: Start, place: Path) -> None:
    write_snapshot(place)
    with DaemonProcess([TINY], place, generation=9) as daemon:
        assert daemon.hear() == Bye("failed")
        assert daemon.ended() == os.EX_CONFIG
        (record,) = daemon.events("start_failed")
        assert "config/9.json" in record["reason"]


def test_a_path_of_needs_that_is_missing_is_named(start: Start, place: Path) -> None:
    (place / "readable/file").unlink()
    (place / "readable").rmdir()
    daemon = start(ready=False)
    assert daemon.ended() == os.EX_CONFIG
    (record,) = daemon.events("start_failed")
    assert record["reason"] == "NEEDS readable: No such file or directory"


def test_without_descriptors_it_is_full_for_a_second(start: Start, door: Door) -> None:
    daemon = start(client_limit=50)
    kept = door.greeted()
    used = len(os.listdir(f"/proc/{daemon.process.pid}/fd"))
    _, hard = resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (used, hard))
    waits = door.connect()
    daemon.hear_until(FULL)
    assert ask(kept, "work goes on") == "work goes on"
    assert is_silent(waits)
    resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (hard, hard))
    assert line(waits) == f"hello {door.address}"
    daemon.hear_until(FREE)
    (record,) = daemon.events("accept_paused")
    assert "Too many open files" in record["reason"]


def test_the_descriptor_limit_follows_the_client_limit(start: Start) -> None:
    daemon = start(client_limit=1500)
    soft, hard = resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE)
    assert soft >= min(hard, 1500 * 4)
    assert resource.prlimit(daemon.process.pid, resource.RLIMIT_CORE) == (0, 0)


def test_the_sandbox_holds_in_a_running_daemon(start: Start, door: Door, place: Path) -> None:
    start()
    client = door.greeted()
    status = Path(f"/proc/{os.getpid()}/status")
    assert ask(client, "read readable/file") == "done"
    assert ask(client, "read config/1.json") == "done"
    assert ask(client, f"read {os.__file__}") == "done"
    assert ask(client, "read private/file") == "Permission denied"
    assert ask(client, f"read {status}") == "Permission denied"
    assert ask(client, "write readable/file") == "Permission denied"
    assert ask(client, "write writable/a/one") == "done"
    assert ask(client, "rename writable/a/one writable/b/two") == "done"
    assert ask(client, "rename writable/b/two readable/two") == "Permission denied"
    assert ask(client, "write log/new") == "done"
    assert ask(client, "run") == "Permission denied"
    assert (place / "writable/b/two").exists()


def test_the_sandbox_forbids_tcp(start: Start, door: Door) -> None:
    start()
    with door.greeted() as client, listen_tcp() as other:
        assert ask(client, f"connect {other.getsockname()[1]}") == "Permission denied"


def test_fd_0_is_harmless_after_check_in(start: Start) -> None:
    daemon = start()
    assert os.readlink(f"/proc/{daemon.process.pid}/fd/0") == "/dev/null"


def test_unix_and_seqpacket_listeners(place: Path) -> None:
    write_snapshot(place)
    with contextlib.ExitStack() as stack:
        listeners = []
        for kind, name in ((socket.SOCK_STREAM, "unix"), (socket.SOCK_SEQPACKET, "ipc")):
            server = stack.enter_context(socket.socket(socket.AF_UNIX, kind))
            server.bind(str(place / "private" / name))
            server.listen()
            listeners.append((f"{name}:private/{name}", server.fileno()))
        stack.enter_context(DaemonProcess([TINY], place, listeners))
        for kind, name in ((socket.SOCK_STREAM, "unix"), (socket.SOCK_SEQPACKET, "ipc")):
            client = stack.enter_context(socket.socket(socket.AF_UNIX, kind))
            client.settimeout(10)
            client.connect(str(place / "private" / name))
            assert client.recv(100).decode() == f"hello {name}:private/{name}\n"


@pytest.mark.requires("root")
def test_a_stranger_has_no_word_with_the_daemons(short_path: Path) -> None:
    """Even where the modes of socket and folders would let another user in."""
    furnish(short_path)
    write_snapshot(short_path)
    path = short_path / "private" / "ipc"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.bind(str(path))
        server.listen()
        for place in (short_path, short_path / "private", path):
            place.chmod(0o777)
        with DaemonProcess([TINY], short_path, [("ipc:private/ipc", server.fileno())]) as daemon:
            assert _hello_as(0, path) == "hello ipc:private/ipc\n"
            assert _hello_as(NOBODY, path) == ""
            (said,) = wait_until(lambda: daemon.events("stranger"), "the log line")
            assert said["uid"] == NOBODY


def _hello_as(uid: int, path: Path) -> str:
    """The first word that a user hears on a SEQPACKET socket."""
    program = (
        "import socket, sys\n"
        "client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
        "client.settimeout(10)\n"
        "client.connect(sys.argv[1])\n"
        "print(client.recv(99).decode(), end='')\n"
    )
    command = ["/usr/bin/python3", "-I", "-c", program, str(path)]
    done = subprocess.run(command, user=uid, capture_output=True, text=True, cwd="/", check=True)
    return done.stdout


def test_one_dialogue_on_stdin_and_stdout(place: Path) -> None:
    write_snapshot(place)
    done = subprocess.run(
        [sys.executable, TINY, "--stdio", "--generation", "1"],
        cwd=place,
        input=b"first\nread private/file\nquit\n",
        capture_output=True,
        timeout=20,
        check=True,
    )
    assert done.stdout.decode().splitlines() == [
        "hello stdio",
        "first",
        "Permission denied",
        "bye",
    ]
    assert [json.loads(text)["event"] for text in done.stderr.splitlines()] == ["stopped", "ended"]


def test_stdio_reads_a_plain_file(place: Path) -> None:
    write_snapshot(place)
    dialogue = place / "dialogue"
    dialogue.write_text("one\ntwo\n")
    with dialogue.open("rb") as file:
        done = subprocess.run(
            [sys.executable, TINY, "--stdio", "--generation", "1", "--service", "tiny"],
            cwd=place,
            stdin=file,
            capture_output=True,
            timeout=20,
            check=True,
        )
    assert done.stdout.decode().splitlines() == ["hello stdio", "one", "two"]


def test_stdio_takes_a_socket_as_the_client(place: Path) -> None:
    write_snapshot(place)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(10)
        with subprocess.Popen(
            [sys.executable, TINY, "--stdio", "--generation", "1"],
            cwd=place,
            stdin=theirs.fileno(),
            stderr=subprocess.DEVNULL,
        ) as process:
            assert line(ours) == "hello stdio"
            assert ask(ours, "quit") == "bye"
            assert process.wait(10) == 0


def test_listeners_of_systemd(place: Path, door: Door) -> None:
    write_snapshot(place)
    # As systemd does it: descriptors from 3 on, and LISTEN_PID set in the child that becomes it.
    script = (
        f"exec 3<&{door.fileno()}; LISTEN_FDS=1 LISTEN_PID=$$ "
        f"exec {sys.executable} -I {TINY} --generation 1 --service tiny"
    )
    with subprocess.Popen(
        ["/bin/bash", "-c", script],
        cwd=place,
        pass_fds=[door.fileno()],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        client = door.greeted()
        process.terminate()
        assert [line(client), line(client)] == ["retire", "expire"]
        assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "fd 0 is no channel"),
        (["--stdio"], "--stdio needs --generation N"),
        (["--nonsense"], "option --nonsense not recognized"),
    ],
)
def test_a_process_that_is_not_told_what_it_is_explains_itself(
    place: Path, arguments: list[str], reason: str
) -> None:
    done = subprocess.run(
        [sys.executable, TINY, *arguments],
        cwd=place,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == os.EX_USAGE
    assert reason in json.loads(done.stderr)["reason"]
