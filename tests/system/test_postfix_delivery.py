"""Debian's Postfix and Posthouse run the same commands and fill the same mailboxes alike.

What differs on purpose is not tried here: mta/daemons/pipe, BUGS.
"""

import math
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.debian import PackageUnavailable
from support.delivering_postfix import MAILBOX_LIMIT, DeliveringPostfix, Row
from support.waiting import wait_until

from mta.config.parameters import Parameters
from mta.daemons.pipe.runs import Runs
from mta.daemons.virtual.mailboxes import VirtualMailboxes
from mta.daemons.virtual.places import Place
from mta.delivery.agent import result_of
from mta.delivery.content import ContentReader
from mta.ipc.messages import Deliver, DeliverRecipient

pytestmark = pytest.mark.requires("root", "unshare", "nsenter", "setpriv")

Outcome = tuple[str, str, str]  # enhanced status, what became of it, text
CONTENT = "Received: by cleanup\nA: 1\n\n.dot\nFrom here\n>From there\nend\n"
SUBMITTED = b"A: 1\n\n.dot\nFrom here\n>From there\nend\n"
STATES = {"2": "sent", "4": "deferred", "5": "bounced"}
SHELL = ["/bin/sh", "-c"]
PIPE_NAMES = {"flags": "pipe_flags", "null_sender": "pipe_null_sender", "size": "pipe_size_limit"}


@contextmanager
def request_of(
    folder: Path, sender: str, recipient: str, content: str
) -> Iterator[tuple[Deliver, DeliverRecipient, ContentReader]]:
    path = folder / "queue-file"
    data = content.replace("\n", "\r\n").encode()
    path.write_bytes(data)
    to = DeliverRecipient(0, recipient, recipient)
    domain = recipient.rpartition("@")[2]
    with path.open("rb") as file:
        request = Deliver("0" * 22, sender, (to,), domain, 0.0, 0, len(data))
        yield request, to, ContentReader(file.fileno(), 0, len(data))


def parameters_of(name: str, row: Row) -> dict[str, Any]:
    """A row of master.cf as settings of ours."""
    found: dict[str, Any] = {"pipe_command": tuple(row.argv), "pipe_destination_recipient_limit": 1}
    for attribute in row.attributes.split():
        key, _, value = attribute.partition("=")
        if key == "eol":
            found["pipe_eol"] = "crlf"
        else:
            found[PIPE_NAMES[key]] = int(value) if key == "size" else value
    return found | {"command_time_limit": 2.0, "recipient_delimiter": "+"}


def ours(
    folder: Path, name: str, row: Row, sender: str, recipient: str, content: str = CONTENT
) -> Outcome:
    runs = Runs(Parameters(**parameters_of(name, row)), name, {})
    with request_of(folder, sender, recipient, content) as (request, _, reader):
        (result,) = runs.deliver(request, math.inf, reader)
    status = result.status
    return status.enhanced, STATES[status.enhanced[0]], status.text


def normal(outcome: Outcome) -> Outcome:
    """Of the text, what is no matter of taste: blanks at the end, and our words for a limit."""
    dsn, state, text = outcome
    text = re.sub(r"^mail forwarding loop.*|^message (?:too large|size).*", "(ours)", text)
    return dsn, state, text.strip() or "no reason given"


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mta-", dir="/tmp") as name:
        Path(name).chmod(0o755)  # Postfix has users of its own
        yield Path(name)


@contextmanager
def postfix(folder: Path, rows: dict[str, Row], **boxes: str) -> Iterator[DeliveringPostfix]:
    try:
        made = DeliveringPostfix(
            folder / "postfix", rows, {f"{name}@box.test": path for name, path in boxes.items()}
        )
    except PackageUnavailable as error:
        pytest.skip(str(error))
    try:
        yield made
    finally:
        made.stop()


SAYINGS = {
    "a": "echo 4.2.1 come later; exit 67",
    "b": "echo 5.7.26 no >&2; exit 75",
    "c": "echo 5.1.1 what; exit 0",
    "d": "echo no such list; exit 67",
    "e": "kill -KILL $$$$",
    "f": "kill -SEGV $$$$",
    "g": "head -c 3",
    "h": 'printf "a\\nb\\n"; exit 65',
    "i": "echo text; exit 3",
    "j": "echo text; kill -9 $$$$",
    "k": "echo 5.7.1; exit 1",
    "l": "echo so far; sleep 100",
    "m": "exec <&-; exit 0",
}


def test_the_end_of_a_command(folder: Path) -> None:
    cases = " ".join(f"{name}) {script};;" for name, script in SAYINGS.items())
    rows = {
        "status": Row("", [*SHELL, "exit $$1", "sh", "$user"]),
        "say": Row("", [*SHELL, f"case $$1 in {cases} esac", "sh", "$user"]),
        "loop": Row("flags=D", ["/bin/true"]),
        "small": Row("size=50", ["/bin/true"]),
    }
    letters = [f"{status}@status.test" for status in (*range(80), 126, 127, 255)]
    letters += [f"{name}@say.test" for name in SAYINGS]
    letters += ["a@loop.test", "a@small.test"]
    with postfix(folder, rows) as theirs:
        theirs.run()
        theirs.submit(b"Delivered-To: A@loop.test\n" + SUBMITTED, "", letters)
        found = {to: normal(theirs.outcome(to)) for to in letters}
    content = "Received: Delivered-To:\nDelivered-To: A@loop.test\n" + CONTENT
    for to in letters:
        name = to.partition("@")[2].removesuffix(".test")
        mine = normal(ours(folder, name, rows[name], "", to, content))
        assert (to, mine) == (to, found[to])


MACROS = ("sender", "recipient", "original_recipient", "user", "extension", "mailbox", "domain")
ATTRIBUTES = ("", "flags=h", "flags=u", "flags=q", "flags=hqu", "null_sender= flags=q")
SENDERS = ("", "Al+x@y.test", '"a b"@y.test')
PEOPLE = ("Bob+Ext", '"B c+d"', "x", "postmaster+x", '"a..b"', "a=b+", "'x'")


def test_what_macros_become(folder: Path) -> None:
    # Written at once, for commands run side by side.
    script = (
        'told=$$1; shift; for each; do line="$$line<$$each>"; done; '
        "printf '%s\\n' \"$$line\" >>$$told"
    )
    words = [*(f"${{{name}}}" for name in MACROS), "$nexthop", "x$(user)y$$z"]
    rows = {
        f"m{number}": Row(text, [*SHELL, script, "sh", f"/var/sink/m{number}", *words])
        for number, text in enumerate((*ATTRIBUTES, "null_sender=<> flags=q"))
    }
    with postfix(folder, rows) as theirs:
        theirs.run()
        for name in rows:
            for number, sender in enumerate(SENDERS):
                # A recipient for each sender, so that the log tells them apart.
                theirs.submit(SUBMITTED, sender, people_of(name, number))
        for name, row in rows.items():
            told = folder / name
            own = Row(row.attributes, [str(told) if "/var" in it else it for it in row.argv])
            for number, sender in enumerate(SENDERS):
                for to in people_of(name, number):
                    assert ours(folder, name, own, sender, to)[1] == "sent"
                    assert theirs.outcome(to)[1] == "sent"
            lines = sorted((theirs.place / name).read_text().splitlines())
            assert sorted(told.read_text().splitlines()) == lines
            assert len(lines) == len(PEOPLE)


def people_of(name: str, number: int) -> list[str]:
    return [f"{person}@{name}.test" for person in PEOPLE[number :: len(SENDERS)]]


FORMS = (
    *("", "flags=B", "flags=D", "flags=F", "flags=O", "flags=R", "flags=X.>", "flags=BDFORXhqu.>"),
    *("flags=DOR eol=\\r\\n", "flags=FR null_sender=", "flags=FR null_sender=nobody"),
)


def test_how_flags_form_a_message(folder: Path) -> None:
    rows = {
        f"f{number}": Row(text, [*SHELL, "cat >$$1", "sh", f"/var/sink/f{number}"])
        for number, text in enumerate(FORMS)
    }
    with postfix(folder, rows) as theirs:
        theirs.run()
        theirs.submit(SUBMITTED, "", [f"Bob@{name}.test" for name in rows])
        for name, row in rows.items():
            assert theirs.outcome(f"Bob@{name}.test")[1] == "sent"
            told = folder / name
            own = replace_last(row, str(told))
            assert ours(folder, name, own, "", f"Bob@{name}.test")[1] == "sent"
            expected = own_part((theirs.place / name).read_bytes())
            assert (row.attributes, own_part(told.read_bytes())) == (row.attributes, expected)


def replace_last(row: Row, word: str) -> Row:
    return Row(row.attributes, [*row.argv[:-1], word])


def own_part(data: bytes) -> tuple[bytes, bytes]:
    """What is before cleanup's fields, without the time, and the body with what is behind it."""
    before, _, rest = data.partition(b"Received: ")
    body = re.split(rb"\r?\n\r?\n", rest, maxsplit=1)[1]
    return re.sub(rb"\d\d:\d\d:\d\d", b"TIME", before), body


def test_an_mbox(folder: Path) -> None:
    boxes = {"bob": "bob", "full": "full", "dir": "dir", "ann": "ann/"}
    mine = folder / "mine"
    (mine / "dir").mkdir(parents=True)
    (mine / "full").write_bytes(b"x" * (MAILBOX_LIMIT - 10))
    terms = Parameters(virtual_mailbox_base=str(mine), virtual_mailbox_limit=MAILBOX_LIMIT)
    with postfix(folder, {}, **boxes) as theirs:
        theirs.run()
        (theirs.place / "dir").mkdir()
        (theirs.place / "full").write_bytes(b"x" * (MAILBOX_LIMIT - 10))
        theirs.enclosure.give(theirs.place / "full", "sink")
        people = [f"{name}@box.test" for name in boxes]
        theirs.submit(SUBMITTED, "", people)
        found = {name: theirs.outcome(f"{name}@box.test")[:2] for name in boxes}
        theirs.submit(SUBMITTED, "alice@y.test", ["bob@box.test"])
        bob = theirs.place / "bob"
        wait_until(
            lambda: bob.read_bytes().endswith(b"end\n\n") and b"alice" in bob.read_bytes(), ""
        )
        stored = bob.read_bytes()
    mailboxes = VirtualMailboxes(terms)
    for name, path in boxes.items():
        place = Place((name,), is_maildir=path.endswith("/"))
        enhanced = put(folder, mailboxes, place, "", f"{name}@box.test")
        # A directory in a mailbox's place: both defer, and agree on no more.
        dsn = "4.3.0" if name == "dir" else found[name][0]
        assert (name, enhanced) == (name, dsn)
    put(folder, mailboxes, Place(("bob",), is_maildir=False), "alice@y.test", "bob@box.test")
    own = (mine / "bob").read_bytes()
    assert (mine / "full").stat().st_size == MAILBOX_LIMIT - 10
    for data in (own, stored):
        assert data.endswith(b"\n\n")
    messages = zip(split(own), split(stored), strict=True)
    for one, other in messages:
        assert own_part(one) == own_part(other)


def split(mbox: bytes) -> list[bytes]:
    return [b"From " + part for part in re.split(rb"(?:\A|(?<=\n\n))From ", mbox)[1:]]


def put(
    folder: Path, mailboxes: VirtualMailboxes, place: Place, sender: str, recipient: str
) -> str:
    with request_of(folder, sender, recipient, CONTENT) as (request, to, reader):
        (result,) = result_of("", (to,), lambda: mailboxes.deliver(request, to, reader, place))
    return result.status.enhanced
