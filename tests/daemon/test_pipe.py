"""The pipe delivery agent as a real process: a command gets the message, its end is the outcome."""

import os
import re
import shlex
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.delivery_bench import QUEUE_ID, DeliveryBench
from support.processes import running
from support.waiting import wait_until

from mta.ipc.messages import Outcome
from mta.proto.status import Disposition

DISPOSITIONS = {"2": Disposition.DELIVERED, "4": Disposition.DEFERRED, "5": Disposition.BOUNCED}
TO = "bob@posthouse.test"


class Bench(DeliveryBench):
    """The agent, with a folder that its command may write to."""

    def __init__(self, directory: Path, stack: ExitStack, **given: object) -> None:
        self.out = directory / "out"
        self.out.mkdir()
        given = {"pipe_writable": [str(self.out)], "recipient_delimiter": "+", **given}
        environment = {"LIST": "of the master", "SECRET": "of the master"}
        super().__init__(directory, stack, "pipe", given, environment=environment)

    def told(self) -> list[str]:
        """The lines that the command wrote."""
        return (self.out / "told").read_text().splitlines()


NewBench = Callable[..., Bench]


@pytest.fixture
def new_bench(short_path: Path) -> Iterator[NewBench]:
    with ExitStack() as stack:
        yield lambda **given: Bench(short_path, stack, **given)


def shell(script: str, *arguments: str) -> list[str]:
    """A command that runs a script; its macros are its arguments, and so never a part of it."""
    return ["/bin/sh", "-c", script.replace("$", "$$"), "sh", *arguments]


def telling(bench_folder: Path, *arguments: str) -> list[str]:
    script = f'for each; do echo "$each"; done >{shlex.quote(str(bench_folder))}/out/told'
    return shell(script, *arguments)


def one(outcomes: list[Outcome]) -> str:
    """The outcome, when there is one for all."""
    (status,) = {str(outcome.status) for outcome in outcomes}
    for outcome in outcomes:
        assert outcome.disposition is DISPOSITIONS[status[0]]
    return status


def test_the_command_gets_the_message(new_bench: NewBench, short_path: Path) -> None:
    bench = new_bench(pipe_command=shell(f"cat >{short_path}/out/told; echo thanks"))
    (outcome,) = bench.deliver(TO, content=b"A: 1\r\n\r\n.dot\r\nFrom here\r\n\r\nend")
    assert str(outcome.status) == "250 2.0.0 delivered via pipe service (thanks)"
    assert (bench.out / "told").read_bytes() == b"A: 1\n\n.dot\nFrom here\n\nend\n"
    (line,) = bench.daemon.events("delivery")
    assert (line["to"], line["relay"], line["status"]) == (TO, "pipe", "sent")


def test_macros_of_a_message(new_bench: NewBench, short_path: Path) -> None:
    macros = ("sender", "nexthop", "queue_id", "size", "client_address", "client_port")
    more = ("client_helo", "client_protocol", "client_hostname", "sasl_username")
    words = [f"{name}=${{{name}}}" for name in macros + more]
    bench = new_bench(pipe_command=telling(short_path, *words, "$$5", "$(sender)!"))
    bench.deliver(TO, nexthop="Some-Hop")
    assert bench.told() == [
        "sender=sender@example.org",
        "nexthop=Some-Hop",
        f"queue_id={QUEUE_ID}",
        "size=12",
        "client_address=192.0.2.7",
        "client_port=40123",
        "client_helo=client.example",
        "client_protocol=ESMTP",
        "client_hostname=unknown",
        "sasl_username=",
        "$5",
        "sender@example.org!",
    ]


MACROS = ("recipient", "original_recipient", "user", "extension", "mailbox", "domain")


@pytest.mark.parametrize(
    ("flags", "address", "expected"),
    [
        ("", "Ann+Lists@b.test", "Ann+Lists@b.test Ann+Lists@b.test Ann Lists Ann+Lists b.test"),
        ("u", "Ann+Lists@b.test", "ann+lists@b.test ann+lists@b.test ann lists ann+lists b.test"),
        ("", '"a b"@b.test', "a b@b.test A B@b.test a b  a b b.test"),
        ("q", '"a b"@b.test', '"a b"@b.test "A B"@b.test a b  a b b.test'),
        ("q", "ann@b.test", "ann@b.test Ann@b.test ann  ann b.test"),
    ],
)
def test_macros_of_a_recipient(
    new_bench: NewBench, short_path: Path, flags: str, address: str, expected: str
) -> None:
    words = [f"${name}" for name in MACROS]
    bench = new_bench(pipe_command=telling(short_path, *words), pipe_flags=flags)
    bench.deliver(address)
    assert " ".join(bench.told()) == expected


def test_an_argument_is_repeated_for_each_recipient(new_bench: NewBench, short_path: Path) -> None:
    command = telling(short_path, "-f", "$sender", "--", "to:$user@$domain", "end")
    bench = new_bench(pipe_command=command)
    assert one(bench.deliver("a@b.test", "c@d.test")).startswith("250")
    assert bench.told() == ["-f", "sender@example.org", "--", "to:a@b.test", "to:c@d.test", "end"]


def test_recipients_beyond_the_limit_have_a_run_of_their_own(new_bench: NewBench) -> None:
    bench = new_bench(
        pipe_command=shell('test "$1" != c', "$user"), pipe_destination_recipient_limit=1
    )
    outcomes = bench.deliver("a@b.test", "c@b.test", "d@b.test")
    assert [it.status.enhanced for it in outcomes] == ["2.0.0", "5.3.0", "2.0.0"]


@pytest.mark.parametrize(
    ("null_sender", "told"), [("MAILER-DAEMON", "MAILER-DAEMON"), ("", ""), ("<>", '"<>"')]
)
def test_the_null_sender(
    new_bench: NewBench, short_path: Path, null_sender: str, told: str
) -> None:
    bench = new_bench(
        pipe_command=telling(short_path, "$sender"), pipe_null_sender=null_sender, pipe_flags="q"
    )
    bench.deliver(TO, sender="")
    assert bench.told() == [told]


@pytest.mark.parametrize(
    ("sender", "recipient", "expected"),
    [
        ("a@b.test", "-oQ/tmp@b.test", "5.1.3"),
        ("-C/tmp/x@b.test", TO, "5.1.7"),
        ("a@b.test", "x+-rf@b.test", "5.1.3"),
        ("$(id)@b.test", '"; touch x;"@b.test', "2.0.0"),
    ],
)
def test_no_stranger_gives_options(
    new_bench: NewBench, short_path: Path, sender: str, recipient: str, expected: str
) -> None:
    command = telling(short_path, "$sender", "$recipient", "$extension")
    bench = new_bench(pipe_command=command)
    (outcome,) = bench.deliver(recipient, sender=sender)
    assert outcome.status.enhanced == expected
    if expected == "2.0.0":
        assert bench.told() == ["$(id)@b.test", "; touch x;@b.test", ""]


@pytest.mark.parametrize(
    ("flags", "eol", "expected"),
    [
        ("B", "lf", "A: 1\n\n.x\nFrom y\n\n"),
        (".", "lf", "A: 1\n\n..x\nFrom y\n"),
        (">", "lf", "A: 1\n\n.x\n>From y\n"),
        ("R", "lf", "Return-Path: <sender@example.org>\nA: 1\n\n.x\nFrom y\n"),
        (
            "RODX",
            "crlf",
            (
                "Return-Path: <sender@example.org>\r\nX-Original-To: Bob@Posthouse.Test\r\n"
                "Delivered-To: bob@posthouse.test\r\nA: 1\r\n\r\n.x\r\nFrom y\r\n"
            ),
        ),
    ],
)
def test_flags_form_the_message(
    new_bench: NewBench, short_path: Path, flags: str, eol: str, expected: str
) -> None:
    bench = new_bench(
        pipe_command=shell(f"cat >{short_path}/out/told"), pipe_flags=flags, pipe_eol=eol
    )
    bench.deliver(TO, content=b"A: 1\r\n\r\n.x\r\nFrom y\r\n")
    assert (bench.out / "told").read_bytes().decode() == expected


def test_a_from_line(new_bench: NewBench, short_path: Path) -> None:
    bench = new_bench(pipe_command=shell(f"cat >{short_path}/out/told"), pipe_flags="F")
    bench.deliver(TO)
    first, second, *_ = bench.told()
    assert re.fullmatch(r"From sender@example\.org  \w{3} \w{3} [ \d]\d [\d:]{8} \d{4}", first)
    assert second == "A: 1"


def test_loops_end_where_delivered_to_is_added(new_bench: NewBench) -> None:
    bench = new_bench(pipe_command=["/bin/true"], pipe_flags="D")
    loop = b"Delivered-To: BOB@posthouse.test\r\n\r\n"
    assert one(bench.deliver(TO, content=loop)) == "554 5.4.6 mail forwarding loop"


def test_a_message_beyond_the_size_limit(new_bench: NewBench) -> None:
    bench = new_bench(pipe_command=["/bin/true"], pipe_size_limit=100)
    assert one(bench.deliver(TO, content=b"x" * 101)).startswith("552 5.2.3 message size 101")
    assert one(bench.deliver(TO, content=b"x" * 100)).startswith("250")


# sysexits.h, and what Postfix makes of it
DETAILS = {
    65: "550 5.6.0 data format error",
    67: "550 5.1.1 user unknown",
    68: "550 5.1.2 host name unknown",
    71: "450 4.3.0 system resource problem",
    73: "550 5.2.0 can't create user output file",
    75: "450 4.3.0 temporary failure",
    76: "550 5.5.0 remote error in protocol",
    77: "550 5.7.0 permission denied",
    78: "550 5.3.5 local configuration error",
}


def test_each_exit_status(new_bench: NewBench) -> None:
    bench = new_bench(pipe_command=shell('exit "$1"', "$user"))
    for status in (*range(79), 126, 127, 255):
        said = one(bench.deliver(f"{status}@b.test"))
        if status == 0:
            assert said == "250 2.0.0 delivered via pipe service"
        elif status in DETAILS:
            assert said == DETAILS[status]
        elif 64 <= status <= 78:
            assert said.startswith("550 5.3.0 ")
            assert "died" not in said
        else:
            assert said == f'550 5.3.0 Command died with status {status}: "/bin/sh"'


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo 4.2.1 come later; exit 67", "450 4.2.1 come later"),
        ("echo 5.7.26 not from you >&2; exit 75", "550 5.7.26 not from you"),
        ("echo 2.0.0 fine; exit 75", "450 4.3.0 temporary failure. Command output: 2.0.0 fine"),
        ("echo 5.1.1 what; exit 0", "250 2.0.0 delivered via pipe service (5.1.1 what)"),
        ("echo no such list; exit 67", "550 5.1.1 user unknown. Command output: no such list"),
        (
            "printf '\\001\\377 a\\nb'; exit 65",
            "550 5.6.0 data format error. Command output: ? a b",
        ),
        ("kill -KILL $$", '450 4.3.0 Command died with signal 9: "/bin/sh"'),
        ("kill -SEGV $$", '450 4.3.0 Command died with signal 11: "/bin/sh"'),
    ],
)
def test_what_a_command_says(new_bench: NewBench, script: str, expected: str) -> None:
    bench = new_bench(pipe_command=shell(script))
    assert one(bench.deliver(TO)) == expected


def test_a_command_that_hangs_is_killed_with_its_children(
    new_bench: NewBench, short_path: Path
) -> None:
    script = f"sleep 1000 & echo $! >{short_path}/out/told; echo so far; wait"
    bench = new_bench(pipe_command=shell(script), command_time_limit=1)
    said = one(bench.deliver(TO))
    assert said == ('550 5.3.0 Command time limit exceeded: "/bin/sh". Command output: so far')
    child = int(bench.told()[0])
    wait_until(lambda: not is_running(child), "the end of the child")


def is_running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_a_command_that_forks_is_killed_with_all_of_them(
    new_bench: NewBench, short_path: Path
) -> None:
    """No process can fork away from it, for the kernel kills a whole process group at once."""
    mark = short_path / "out" / "nap"
    script = (
        f"ln -s /bin/sleep {mark}; "
        f"bomb() {{ {mark} 1000 & [ $1 -gt 6 ] || {{ bomb $(($1+1)) & bomb $(($1+1)) & }}; }}; "
        "bomb 0; wait"
    )
    bench = new_bench(pipe_command=shell(script), command_time_limit=1)
    assert one(bench.deliver(TO)) == '550 5.3.0 Command time limit exceeded: "/bin/sh"'
    wait_until(lambda: not running(str(mark)), "the last of them to be gone")


def test_how_many_processes_a_command_may_have(new_bench: NewBench) -> None:
    """The kernel asks it of all of the user's; a row has a user of its own."""
    bench = new_bench(pipe_command=shell("ulimit -p; ulimit -Hp"))
    told = re.fullmatch(r".* service \((\d+) (\d+)\)", one(bench.deliver(TO)))
    assert told is not None
    assert int(told[1]) == int(told[2]) <= 4096


def test_what_a_command_leaves_in_the_background_is_not_waited_for(
    new_bench: NewBench, short_path: Path
) -> None:
    script = f"sleep 1000 & echo $! >{short_path}/out/told; exit 0"
    bench = new_bench(pipe_command=shell(script), command_time_limit=600)
    assert one(bench.deliver(TO)) == "250 2.0.0 delivered via pipe service"
    child = int(bench.told()[0])
    assert is_running(child)
    os.kill(child, signal.SIGKILL)


def test_a_command_that_need_not_read_all(new_bench: NewBench) -> None:
    bench = new_bench(pipe_command=shell("head -c 3"))
    assert one(bench.deliver(TO, content=b"x" * 5_000_000)).endswith("service (xxx)")


def test_a_command_that_floods(new_bench: NewBench) -> None:
    bench = new_bench(pipe_command=["/usr/bin/yes"])
    assert one(bench.deliver(TO)).startswith(
        '450 4.3.0 Command died with signal 13: "/usr/bin/yes"'
    )


def test_a_verbose_command_is_heard_to_its_end(new_bench: NewBench) -> None:
    bench = new_bench(pipe_command=shell("cat; exit 0"))
    said = one(bench.deliver(TO, content=b"x" * 500_000))
    assert said.startswith("250 2.0.0 delivered via pipe service (xxx")
    assert len(said) <= 512


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"pipe_command": ["/nonexistent/command"]},
        {"pipe_command": ["/etc/passwd"]},
        {"pipe_command": ["/bin/true"], "pipe_directory": "/nonexistent"},
    ],
)
def test_a_command_that_cannot_be_run_is_a_deferral(
    new_bench: NewBench, given: dict[str, object]
) -> None:
    assert one(new_bench(**given).deliver(TO)).startswith("451 4.3.5 ")


def test_a_truncated_queue_file_is_no_message(new_bench: NewBench) -> None:
    bench = new_bench(pipe_command=["/bin/cat"])
    assert one(bench.deliver(TO, missing=1)) == "451 4.3.0 queue file truncated"


def test_the_environment_is_what_is_exported(new_bench: NewBench) -> None:
    bench = new_bench(pipe_command=["/usr/bin/env"], export_environment=["LIST", "A=b=c", "ABSENT"])
    said = one(bench.deliver(TO))
    assert said.partition("(")[2] == "PATH=/usr/bin:/bin LIST=of the master A=b=c)"


def test_where_it_runs(new_bench: NewBench) -> None:
    bench = new_bench(pipe_command=["/bin/pwd"], pipe_directory="/usr/share")
    assert one(bench.deliver(TO)).endswith("(/usr/share)")


def test_nothing_but_what_is_named_can_be_written(new_bench: NewBench, tmp_path: Path) -> None:
    """To be seen where the kernel has Landlock; else the file's mode is all there is."""
    tmp_path.chmod(0o777)
    script = f"echo x >/dev/null && touch {tmp_path}/x 2>/dev/null && echo written || echo kept"
    bench = new_bench(pipe_command=shell(script))
    is_complete = not bench.daemon.events("sandbox_incomplete")
    assert one(bench.deliver(TO)).endswith("(kept)" if is_complete else "(written)")


def test_no_descriptor_is_inherited(new_bench: NewBench) -> None:
    bench = new_bench(pipe_command=["/bin/ls", "/proc/self/fd"])
    assert one(bench.deliver(TO)).partition("(")[2] == "0 1 2 3)"  # the last is ls's own


def test_what_there_is_no_time_for_is_not_begun(new_bench: NewBench, short_path: Path) -> None:
    """Else qmgr would have given up, and tried again, while the command was at work."""
    bench = new_bench(
        pipe_command=shell(f"touch {short_path}/out/told"),
        command_time_limit=20.0,
        delivery_timeout=10.0,
    )
    said = one(bench.deliver(TO))
    assert said == "451 4.3.2 no time left for this recipient in this attempt"
    assert os.listdir(bench.out) == []
