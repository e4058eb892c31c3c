"""The virtual delivery agent as a real process: requests with a queue file in, mail in Maildirs."""

import fcntl
import mailbox
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from support.delivery_bench import QUEUE_ID, DeliveryBench
from support.waiting import wait_until

from mta.proto.status import Disposition


class Bench(DeliveryBench):
    """The agent and its mailboxes."""

    def __init__(
        self, directory: Path, stack: ExitStack, base: str | None = None, **given: object
    ) -> None:
        self.mail = directory / "mail"
        self.mail.mkdir()
        parameters = {
            "virtual_mailbox_base": str(self.mail) if base is None else base,
            "virtual_mailbox_domains": ["posthouse.test"],
            **given,
        }
        super().__init__(directory, stack, "virtual", parameters)

    def mailbox(self, user: str, domain: str = "posthouse.test") -> list[bytes]:
        return [file.read_bytes() for file in (self.mail / domain / user / "new").glob("*")]


@pytest.fixture
def bench(short_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(short_path, stack)


def test_a_message_arrives_with_its_trace_and_unix_line_ends(bench: Bench) -> None:
    (outcome,) = bench.deliver("Bob@posthouse.test", content=b"A: 1\r\n\r\nhi\r\n\r\nthere\r\n")
    assert outcome.disposition is Disposition.DELIVERED
    (delivered,) = bench.mailbox("bob")
    assert delivered == (
        b"Return-Path: <sender@example.org>\n"
        b"X-Original-To: Bob@Posthouse.Test\n"
        b"Delivered-To: Bob@posthouse.test\n"
        b"A: 1\n\nhi\n\nthere\n"
    )


def test_the_outcome_and_the_log_name_the_file(bench: Bench) -> None:
    (outcome,) = bench.deliver("bob@posthouse.test")
    found = re.fullmatch(r"delivered to maildir (/.*/bob/new/\S+)", outcome.status.text)
    assert found is not None
    assert Path(found[1]).is_file()
    assert (outcome.status.code, outcome.relay) == (250, "virtual")
    (line,) = bench.daemon.events("delivery")
    assert (line["queue_id"], line["to"], line["status"]) == (
        QUEUE_ID,
        "bob@posthouse.test",
        "sent",
    )
    assert line["text"] == outcome.status.text


def test_each_recipient_has_an_outcome_of_its_own(bench: Bench) -> None:
    (bench.mail / "posthouse.test").mkdir()
    (bench.mail / "posthouse.test" / "ann").symlink_to("/tmp")
    outcomes = bench.deliver("ann@posthouse.test", "bob@posthouse.test", "x/y@posthouse.test")
    assert [(it.index, it.status.enhanced) for it in outcomes] == [
        (0, "4.2.0"),
        (1, "2.0.0"),
        (2, "5.1.3"),
    ]
    assert len(bench.mailbox("bob")) == 1


@pytest.mark.parametrize(
    ("recipient", "enhanced"),
    [
        ("a/../../b@posthouse.test", "5.1.3"),
        ('".hidden"@posthouse.test', "5.1.3"),
        ('".."@posthouse.test', "5.1.3"),
        ("x" * 256 + "@posthouse.test", "5.1.3"),
        ("bob", "4.3.5"),
        ("bob@elsewhere.test", "4.3.5"),
        ("bob@../..", "5.1.3"),
        ("not an address", "5.1.3"),
        ("bob@mx.posthouse.test", "4.3.5"),
    ],
)
def test_an_address_that_can_have_no_mailbox(bench: Bench, recipient: str, enhanced: str) -> None:
    (outcome,) = bench.deliver(recipient)
    assert outcome.status.enhanced == enhanced
    assert list(bench.mail.iterdir()) == []


def test_postmaster_of_the_host_always_has_a_mailbox(bench: Bench) -> None:
    (outcome,) = bench.deliver("Postmaster@mx.posthouse.test")
    assert outcome.disposition is Disposition.DELIVERED
    assert len(bench.mailbox("postmaster", "mx.posthouse.test")) == 1


@pytest.mark.parametrize(
    ("headers", "loops"),
    [
        (b"Delivered-To: bob@posthouse.test\r\n", True),
        (b"delivered-to :\r\n Bob@POSTHOUSE.test\r\n", True),
        (b"Delivered-To: ann@posthouse.test\r\nDelivered-To: bob@posthouse.test\r\n", True),
        (b"Delivered-To: ann@posthouse.test\r\n", False),
        (b"X-Delivered-To: bob@posthouse.test\r\n", False),
        (b"A: 1\r\n\r\nDelivered-To: bob@posthouse.test\r\n", False),
    ],
)
def test_loops_end(bench: Bench, headers: bytes, loops: bool) -> None:
    (outcome,) = bench.deliver("bob@posthouse.test", content=headers + b"\r\nbody\r\n")
    assert outcome.status.enhanced == ("5.4.6" if loops else "2.0.0")
    assert outcome.disposition is (Disposition.BOUNCED if loops else Disposition.DELIVERED)


def test_a_truncated_queue_file_is_not_delivered(bench: Bench) -> None:
    (outcome,) = bench.deliver("bob@posthouse.test", content=b"A: 1\r\n\r\n", missing=1)
    assert (outcome.status.enhanced, outcome.status.text) == ("4.3.0", "queue file truncated")
    assert bench.mailbox("bob") == []
    assert list((bench.mail / "posthouse.test" / "bob" / "tmp").iterdir()) == []


def test_mailboxes_that_are_not_there_are_a_deferral(bench: Bench) -> None:
    bench.mail.rmdir()
    (outcome,) = bench.deliver("bob@posthouse.test")
    assert outcome.status.enhanced == "4.3.5"


def test_without_a_place_for_mailboxes_all_mail_is_deferred(short_path: Path) -> None:
    with ExitStack() as stack:
        (outcome,) = Bench(short_path, stack, base="").deliver("bob@posthouse.test")
    assert outcome.disposition is Disposition.DEFERRED
    assert outcome.status.enhanced == "4.3.5"


def test_the_lock_on_the_queue_file_is_gone_with_the_reply(bench: Bench) -> None:
    bench.deliver("bob@posthouse.test")

    def unlocked() -> bool:
        with (bench.directory / "queue-file").open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    wait_until(unlocked, "the end of the agent's lock")


def test_a_large_message_of_awkward_lines_arrives_whole(bench: Bench) -> None:
    body = b"".join(b"x" * length + b"\r\n" for length in range(900)) + b"lone \r and \n" * 30000
    bench.deliver("bob@posthouse.test", content=b"A: 1\r\n\r\n" + body)
    (delivered,) = bench.mailbox("bob")
    assert delivered.partition(b"\n\n")[2] == body.replace(b"\r\n", b"\n")


def test_replies_fit_what_the_queue_manager_accepts(bench: Bench) -> None:
    """Fifty recipients: the largest request there can be."""
    recipients = [f"{'x' * 60}{number}@posthouse.test" for number in range(50)]
    outcomes = bench.deliver(*recipients)
    assert [it.status.code for it in outcomes] == [250] * 50


TABLE = (
    "inline:{bob@posthouse.test=bob, ann@posthouse.test=site/ann/, up@posthouse.test=a/../../b,"
    " root@posthouse.test=/etc/x, deep@posthouse.test=" + "a/" * 17 + ", @posthouse.test=all/}"
)


@pytest.fixture
def tabled(short_path: Path) -> Iterator[Bench]:
    """Extensions are parted by "+"."""
    with ExitStack() as stack:
        yield Bench(short_path, stack, virtual_mailbox_maps=[TABLE], recipient_delimiter="+")


@pytest.mark.parametrize(
    ("recipient", "place"),
    [
        ("Bob@posthouse.test", "bob"),
        ("bob+lists@posthouse.test", "bob"),
        ("ann@posthouse.test", "site/ann/new/"),
        ("anybody@posthouse.test", "all/new/"),
    ],
)
def test_the_table_says_where_a_mailbox_is(tabled: Bench, recipient: str, place: str) -> None:
    (outcome,) = tabled.deliver(recipient)
    kind = "maildir" if place.endswith("/") else "mailbox"
    told = f"delivered to {kind} {tabled.mail}/{place}"
    assert outcome.status.text.startswith(told)
    assert (
        list(tabled.mail.glob("*/*/new/*" if "/ann" in place else "*/new/*")) or kind != "maildir"
    )


@pytest.mark.parametrize("user", ["up", "root", "deep"])
def test_no_table_leads_elsewhere(tabled: Bench, user: str) -> None:
    (outcome,) = tabled.deliver(f"{user}@posthouse.test")
    assert (outcome.status.code, outcome.status.enhanced) == (451, "4.3.5")
    assert list(tabled.mail.iterdir()) == []


def test_who_is_in_no_table_is_unknown_but_for_the_postmaster(short_path: Path) -> None:
    with ExitStack() as stack:
        bench = Bench(short_path, stack, virtual_mailbox_maps=["inline:{x@posthouse.test=x}"])
        outcomes = bench.deliver("y@posthouse.test", "postmaster@mx.posthouse.test")
    assert [str(it.status).partition(" deliv")[0] for it in outcomes] == [
        "550 5.1.1 unknown user",
        "250 2.0.0",
    ]


def test_a_table_that_fails_defers(short_path: Path) -> None:
    """Nothing answers on private/lookup here."""
    with ExitStack() as stack:
        maps = ["socketmap:unix:/nowhere:places"]
        bench = Bench(short_path, stack, virtual_mailbox_maps=maps, ipc_timeout=1)
        (outcome,) = bench.deliver("bob@posthouse.test")
    assert outcome.disposition is Disposition.DEFERRED


def test_an_mbox_holds_what_was_delivered(tabled: Bench) -> None:
    for number in range(3):
        content = b"Subject: %d\r\n\r\nFrom here\r\nto there" % number
        tabled.deliver("bob@posthouse.test", content=content)
    with closing(mailbox.mbox(tabled.mail / "bob", create=False)) as found:
        messages = list(found)
        assert [message["Subject"] for message in messages] == ["0", "1", "2"]
        assert messages[0]["Delivered-To"] == "bob@posthouse.test"
        assert messages[0].get_payload() == ">From here\nto there\n"
    assert os.listdir(tabled.mail) == ["bob"]


def test_a_symlinked_mbox_is_left_alone(tabled: Bench, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tabled.mail / "bob").symlink_to(victim)
    (outcome,) = tabled.deliver("bob@posthouse.test")
    assert str(outcome.status) == "451 4.2.0 mailbox is a symbolic link"
    assert victim.read_text() == "mine"


def test_a_mail_reader_s_lock_is_waited_for(short_path: Path) -> None:
    with ExitStack() as stack:
        given: dict[str, object] = {"virtual_mailbox_maps": ["static:all"]}
        given |= {"deliver_lock_attempts": 1, "deliver_lock_delay": 0.05}
        bench = Bench(short_path, stack, None, **given)
        script = (
            "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.lockf(f, fcntl.LOCK_EX);"
            "print(flush=True); sys.stdin.read()"
        )
        command = [sys.executable, "-c", script, str(bench.mail / "all")]
        with subprocess.Popen(command, stdin=-1, stdout=-1) as reader:
            assert reader.stdout is not None
            reader.stdout.readline()
            (locked,) = bench.deliver("bob@posthouse.test")
            reader.communicate()
        (after,) = bench.deliver("bob@posthouse.test")
    assert str(locked.status) == "451 4.2.0 mailbox is locked"
    assert after.status.code == 250


def test_a_mailbox_that_is_full_by_its_limit(short_path: Path) -> None:
    with ExitStack() as stack:
        maps = ["inline:{@posthouse.test=box, m@posthouse.test=m/}"]
        bench = Bench(short_path, stack, virtual_mailbox_maps=maps, virtual_mailbox_limit=3000)
        large = b"A: 1\r\n\r\n" + b"x" * 1500
        statuses = [str(bench.deliver("b@posthouse.test", content=large)[0].status) for _ in "12"]
        (too_large,) = bench.deliver("m@posthouse.test", content=large * 2)
    assert statuses[0].startswith("250 2.0.0")
    assert [statuses[1], str(too_large.status)] == ["552 5.2.2 mailbox is full"] * 2
    assert not list((bench.mail / "m" / "new").iterdir())


def test_a_maildir_within_its_quota(short_path: Path) -> None:
    """Maildir++: what a reader removes is free again, what he throws into Trash as well."""
    with ExitStack() as stack:
        bench = Bench(short_path, stack, virtual_maildir_quota=4000)
        large = b"A: 1\r\n\r\n" + b"x" * 1500

        def try_one() -> str:
            (outcome,) = bench.deliver("bob@posthouse.test", content=large)
            return outcome.status.enhanced

        assert [try_one(), try_one(), try_one()] == ["2.0.0", "2.0.0", "5.2.2"]
        box = bench.mail / "posthouse.test" / "bob"
        first, second = sorted((box / "new").iterdir())
        size = first.stat().st_size
        assert first.name.endswith(f",S={size}")
        assert (box / "maildirsize").read_text().splitlines()[0] == "4000S"
        first.unlink()
        assert try_one() == "5.2.2"  # it was counted just now, and nobody has said otherwise
        with (box / "maildirsize").open("a") as file:
            file.write(f"-{size} -1\n")
        assert [try_one(), try_one()] == ["2.0.0", "5.2.2"]
        (box / ".Trash" / "cur").mkdir(parents=True)
        second.rename(box / ".Trash" / "cur" / second.name)
        os.utime(box / "maildirsize", (1, 1))
        assert [try_one(), try_one()] == ["2.0.0", "5.2.2"]


def test_a_mailbox_with_a_quota_of_its_own(bench: Bench) -> None:
    box = bench.mail / "posthouse.test" / "bob"
    box.mkdir(parents=True)
    (box / "maildirsize").write_text("1C\n0 0\n")
    outcomes = [bench.deliver("bob@posthouse.test")[0] for _ in "12"]
    assert [it.status.enhanced for it in outcomes] == ["2.0.0", "5.2.2"]
    assert [it.disposition for it in outcomes] == [Disposition.DELIVERED, Disposition.BOUNCED]


@pytest.mark.parametrize("content", [b"", b"\xff\n", b"9" * 400, b"5S\n" * 5000, b"0S\n1 1"])
def test_a_damaged_maildirsize_costs_no_mail(bench: Bench, content: bytes) -> None:
    box = bench.mail / "posthouse.test" / "bob"
    box.mkdir(parents=True)
    (box / "maildirsize").write_bytes(content)
    (outcome,) = bench.deliver("bob@posthouse.test")
    assert outcome.status.enhanced in ("2.0.0", "5.2.2")


def test_a_maildirsize_that_is_a_link_is_not_followed(bench: Bench) -> None:
    box = bench.mail / "posthouse.test" / "bob"
    box.mkdir(parents=True)
    (box / "maildirsize").symlink_to("/etc/passwd")
    (outcome,) = bench.deliver("bob@posthouse.test")
    assert outcome.disposition is Disposition.DEFERRED
