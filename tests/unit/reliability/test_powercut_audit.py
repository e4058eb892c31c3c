"""The books find each order of calls that a power cut could turn into a loss."""

import random
import re
from pathlib import Path

import pytest
from reliability.powercut.audit import Audit, index
from reliability.powercut.letters import Letter, Mark, make_letters, recognised
from reliability.powercut.model import Model
from reliability.powercut.operations import (
    Acknowledge,
    Create,
    MakeFolder,
    Operation,
    Recording,
    Remove,
    Rename,
    SetMode,
    SyncFile,
    SyncFolder,
    Take,
    Timed,
    Write,
)
from reliability.powercut.shelf import Shelf
from reliability.powercut.variants import variants
from reliability.powercut.walk import walk

from mta.proto.envelope import Envelope, Origin, Recipient
from mta.queue.layout import create_layout, path_of
from mta.queue.queue_id import new_queue_id
from mta.queue.store import QueueStore
from mta.queue.writer import QueueWriter

QUEUE_ID = new_queue_id(1.7e9, b"12345678")
PATH = f"queue/{path_of('incoming', QUEUE_ID)}"
FOLDER = PATH.rpartition("/")[0]
BOX = "mail/box"
BEFORE = frozenset(
    {
        *(FOLDER.replace("incoming", state) for state in ("incoming", "deferred", "corrupt")),
        *("mail", BOX, f"{BOX}/tmp", f"{BOX}/new"),
    }
)
LETTER = next(each for each in make_letters(random.Random(1), 10) if each.kind == "local")
(TO,) = LETTER.recipients
COPY = f"Delivered-To: {TO}\n".encode() + LETTER.content.replace(b"\r\n", b"\n")


def queue_file(folder: Path) -> bytes:
    """The letter as a queue file."""
    create_layout(str(folder))
    store = QueueStore(str(folder))
    envelope = Envelope(
        LETTER.sender,
        (Recipient(TO, TO),),
        Origin("ESMTP", "192.0.2.1", 40000, "client.example", "smtp"),
        1.7e9,
        body_8bit=False,
    )
    writer = QueueWriter(store.descriptor, QUEUE_ID, envelope)
    writer.write(LETTER.content)
    writer.seal()
    writer.close()
    store.close()
    return (folder / path_of("incoming", QUEUE_ID)).read_bytes()


MADE = Create(0, PATH, 0o600)
SEALED = SetMode(0, 0o700)
FLUSHED = (SyncFile(0), SyncFolder(FOLDER))
TOLD = Acknowledge(QUEUE_ID)
COPIED = (Create(1, f"{BOX}/tmp/M", 0o600), Write(1, 0, COPY))
SHOWN = Rename(1, f"{BOX}/new/M")
DELIVERED = (*COPIED, SyncFile(1), SHOWN, SyncFolder(f"{BOX}/new"))


def faults(tmp_path: Path, model: Model, *steps: Operation | None) -> list[str]:
    """What is found in the recording of these steps; None stands for the queue file's octets."""
    written = Write(0, 0, queue_file(tmp_path / "made"))
    timed = [Timed(step or written, 2 * n, 2 * n + 1) for n, step in enumerate(steps)]
    recording = Recording(BEFORE, tuple(timed))
    found = index(recording, {QUEUE_ID: LETTER.mark}, tmp_path / "index")
    assert not found.strange
    audit: Audit | None = None
    wrong = []
    for stop in walk(recording, model, variants(1)):
        letters: dict[str, Letter] = {LETTER.mark: LETTER}
        audit = audit or Audit(letters, found, Shelf(tmp_path / "shelf", stop.world))
        wrong += list(audit.stop(stop))
    return wrong


@pytest.mark.parametrize("model", Model)
@pytest.mark.parametrize(
    "steps",
    [
        (MADE, None, SEALED, *FLUSHED, TOLD),
        (MADE, None, SEALED, *FLUSHED, TOLD, *DELIVERED, Remove(0)),
        (MADE, None, SEALED, *FLUSHED, TOLD, Take(QUEUE_ID, TO), Remove(0)),
        (MADE, None, SEALED, *FLUSHED, TOLD, Rename(0, PATH.replace("incoming", "deferred"))),
    ],
    ids=["committed", "delivered", "relayed", "deferred"],
)
def test_the_right_order_loses_nothing(
    tmp_path: Path, model: Model, steps: tuple[Operation | None, ...]
) -> None:
    assert not faults(tmp_path, model, *steps)


@pytest.mark.parametrize("model", Model)
@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ((MADE, None, SEALED, TOLD, *FLUSHED), "nothing is left"),
        ((MADE, None, *FLUSHED, SEALED, TOLD), "is no message: .*incomplete"),
        ((MADE, SEALED, *FLUSHED, None, TOLD), "is no message: .*shorter"),
        ((MADE, None, SEALED, *FLUSHED, TOLD, Remove(0), *DELIVERED), "nothing is left"),
        ((MADE, None, SEALED, *FLUSHED, TOLD, *DELIVERED[:-1], Remove(0)), "nothing is left"),
        ((MADE, None, SEALED, *FLUSHED, TOLD, Remove(0), Take(QUEUE_ID, TO)), "nothing is left"),
        ((MADE, None, SEALED, *FLUSHED, TOLD, *COPIED, SHOWN, SyncFile(1)), "is not whole"),
        (
            (MADE, None, SEALED, *FLUSHED, TOLD, Rename(0, PATH.replace("incoming", "corrupt"))),
            "lies in",
        ),
    ],
    ids=[
        *("told before it is flushed", "sealed after the flush", "written after the flush"),
        *("removed before the delivery", "new/ not flushed", "removed before it is taken"),
        *("shown before it is flushed", "set aside"),
    ],
)
def test_a_wrong_order_is_found(
    tmp_path: Path, model: Model, steps: tuple[Operation | None, ...], reason: str
) -> None:
    found = faults(tmp_path, model, *steps)
    assert any(re.search(reason, fault) for fault in found), found


def test_the_name_of_a_queue_file_must_last(tmp_path: Path) -> None:
    steps = (MADE, None, SEALED, SyncFile(0), TOLD)
    assert faults(tmp_path / "portable", Model.PORTABLE, *steps)
    assert not faults(tmp_path / "journaled", Model.JOURNALED, *steps)


def test_the_names_of_a_mailbox_must_last(tmp_path: Path) -> None:
    """A delivery that found the folder of another, who had not yet flushed its name."""
    box = "mail/fresh"
    made = tuple(MakeFolder(path, 0o700) for path in (box, f"{box}/tmp", f"{box}/new"))
    delivered = (
        *(Create(1, f"{box}/tmp/M", 0o600), Write(1, 0, COPY), SyncFile(1)),
        *(Rename(1, f"{box}/new/M"), SyncFolder(f"{box}/new"), SyncFolder(box)),
    )
    committed = (MADE, None, SEALED, *FLUSHED, TOLD, *made)
    late = (*committed, *delivered, Remove(0), SyncFolder("mail"))
    right = (*committed, SyncFolder("mail"), *delivered, Remove(0))
    assert faults(tmp_path / "late", Model.PORTABLE, *late)
    assert not faults(tmp_path / "right", Model.PORTABLE, *right)
    assert not faults(tmp_path / "journaled", Model.JOURNALED, *late)


def test_a_copy_is_judged_by_itself() -> None:
    assert recognised(COPY) == Mark(LETTER.mark, TO)
    assert recognised(LETTER.content) == Mark(LETTER.mark, "")
    assert recognised(COPY[:-1]) is None
    assert recognised(COPY.replace(b"\n\n", b"\n\n\0", 1)) is None
