"""What the model of a power cut promises, and what it leaves to chance."""

import itertools
import os
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reliability.powercut.contents import BLOCK, after, some, torn
from reliability.powercut.model import Model
from reliability.powercut.operations import (
    Create,
    MakeFolder,
    Operation,
    Recording,
    Remove,
    Rename,
    SetMode,
    SyncFile,
    SyncFolder,
    Timed,
    Write,
)
from reliability.powercut.variants import Picture, variants
from reliability.powercut.walk import Stop, walk

BEFORE = frozenset({"queue", "mail"})
MESSAGE = (Create(0, "queue/a", 0o600), Write(0, 0, b"one"), SetMode(0, 0o700))
FOLDERS = (MakeFolder("mail/x", 0o700), MakeFolder("mail/x/new", 0o700))


def in_turn(*operations: Operation) -> Recording:
    """A recording in which nothing overlaps."""
    return Recording(
        BEFORE,
        tuple(Timed(each, 2 * place, 2 * place + 1) for place, each in enumerate(operations)),
    )


def states(recording: Recording, model: Model) -> Iterator[tuple[Stop, Picture, dict[str, bytes]]]:
    """Every state at every point: the files by path."""
    for stop in walk(recording, model, variants(1)):
        for change in stop.changes:
            picture = change.picture
            files = {
                kept.path: kept.contents.octets(stop.world.histories[node].pieces)
                for node in picture.kept
                if (kept := picture.find(node)) and kept.contents
            }
            yield stop, picture, files


def last(recording: Recording, model: Model) -> list[dict[str, bytes]]:
    """The states after the last event."""
    found = list(states(recording, model))
    return [files for _, _, files in found[-len(variants(1)) :]]


@pytest.mark.parametrize(
    ("model", "operations", "certain"),
    [
        (Model.JOURNALED, (*MESSAGE,), None),
        (Model.JOURNALED, (*MESSAGE, SyncFile(0)), "queue/a"),
        (Model.PORTABLE, (*MESSAGE, SyncFile(0)), None),
        (Model.PORTABLE, (*MESSAGE, SyncFolder("queue")), "queue/a"),
        (Model.PORTABLE, (*MESSAGE, SyncFile(0), SyncFolder("mail")), None),
        (Model.PORTABLE, (*MESSAGE, SyncFile(0), SyncFolder("queue")), "queue/a"),
        # A rename is durable with the folder that the new name is in.
        (
            Model.PORTABLE,
            (*MESSAGE, Rename(0, "mail/a"), SyncFile(0), SyncFolder("mail")),
            "mail/a",
        ),
        (Model.JOURNALED, (*MESSAGE, Rename(0, "mail/a"), SyncFile(0)), "mail/a"),
        # The folders above are durable with the name, or are not.
        (
            Model.JOURNALED,
            (*FOLDERS, Create(0, "mail/x/new/a", 0o600), SyncFile(0)),
            "mail/x/new/a",
        ),
        (
            Model.PORTABLE,
            (
                *FOLDERS,
                Create(0, "mail/x/new/a", 0o600),
                SyncFolder("mail/x/new"),
                SyncFolder("mail/x"),
            ),
            None,
        ),
        (
            Model.PORTABLE,
            (
                *FOLDERS,
                Create(0, "mail/x/new/a", 0o600),
                *(SyncFolder("mail/x/new"), SyncFolder("mail/x"), SyncFolder("mail")),
            ),
            "mail/x/new/a",
        ),
    ],
)
def test_a_name_lasts_by_the_fsync_that_covers_it(
    model: Model, operations: Sequence[Operation], certain: str | None
) -> None:
    every = last(in_turn(*operations), model)
    if certain is None:
        assert not all(every)
    else:
        assert all(certain in files for files in every)


def test_a_removal_lasts_by_the_fsync_of_its_folder() -> None:
    steps = (*MESSAGE, SyncFile(0), SyncFolder("queue"), Remove(0))
    for model in Model:
        assert any(last(in_turn(*steps), model))
        assert not any(last(in_turn(*steps, SyncFolder("queue")), model))


def test_a_renamed_file_has_one_name() -> None:
    steps = (*MESSAGE, SyncFile(0), SyncFolder("queue"), Rename(0, "mail/a"))
    for model in Model:
        found = {tuple(files) for files in last(in_turn(*steps), model)}
        assert found == {("queue/a",), ("mail/a",)}


def test_an_fsync_covers_what_had_returned_before_it_was_entered() -> None:
    begun = (Timed(MESSAGE[0], 0, 1), Timed(MESSAGE[1], 2, 3))
    early = Recording(BEFORE, (*begun, Timed(SetMode(0, 0o700), 4, 6), Timed(SyncFile(0), 5, 7)))
    late = Recording(BEFORE, (*begun, Timed(SetMode(0, 0o700), 4, 5), Timed(SyncFile(0), 6, 7)))

    def modes(recording: Recording) -> set[int]:
        *_, stop = walk(recording, Model.JOURNALED, variants(1))
        return {change.picture.kept[0].mode for change in stop.changes}

    assert modes(early) == {0o600, 0o700}
    assert modes(late) == {0o700}


def test_an_fsync_promises_nothing_before_it_returns() -> None:
    recording = in_turn(*MESSAGE, SyncFile(0))
    by_event: defaultdict[int, list[dict[str, bytes]]] = defaultdict(list)
    for stop, _, files in states(recording, Model.JOURNALED):
        by_event[stop.number].append(files)
    entered, returned = by_event[6], by_event[7]
    assert {} in entered
    assert all(files == {"queue/a": b"one"} for files in returned)


# Anything goes


KINDS = ("create", "write", "rename", "write", "file", "folder", "file", "remove")
MOST_FILES = 2  # so that calls meet


@st.composite
def recordings(draw: st.DrawFn) -> Recording:
    """Files are made, written at their end, renamed and removed, and synced; calls overlap."""
    operations: list[Operation] = []
    sizes: dict[int, int] = {}
    living: set[int] = set()
    for kind in draw(st.lists(st.sampled_from(KINDS), max_size=25)):
        number = draw(st.sampled_from(sorted(living))) if living else None
        if kind == "folder":
            operations.append(SyncFolder(draw(st.sampled_from(sorted(BEFORE)))))
        elif number is None or (kind == "create" and len(sizes) < MOST_FILES):
            number = len(sizes)
            sizes[number] = 0
            living.add(number)
            operations.append(Create(number, f"queue/{number}", 0o600))
        elif kind == "write":
            data = bytes([1 + len(operations)]) * draw(st.sampled_from((1, 10, 5000)))
            operations.append(Write(number, sizes[number], data))
            sizes[number] += len(data)
        elif kind == "remove":
            living.remove(number)
            operations.append(Remove(number))
        else:
            folder = draw(st.sampled_from(sorted(BEFORE)))
            is_rename = kind in ("rename", "create")
            operations.append(
                Rename(number, f"{folder}/{number}") if is_rename else SyncFile(number)
            )
    # A call returns at once, or only after some that were entered later.
    lasting = draw(st.lists(st.sampled_from((0, 0, 1, 3)), min_size=25, max_size=25))
    return Recording(
        BEFORE,
        tuple(
            Timed(each, 100 * place, 100 * (place + lasts) + 50 + place)
            for place, (each, lasts) in enumerate(zip(operations, lasting, strict=False))
        ),
    )


Naming = Create | Rename | Remove


def settled(own: Sequence[Timed], before: int) -> list[Operation]:
    """What had returned before a place, up to the first that had not."""
    early = itertools.takewhile(lambda timed: (timed.returned or before) < before, own)
    return [timed.operation for timed in early]


def folder_of(names: Sequence[Operation], place: int) -> str:
    """Whose entry a naming changed: where the file is now, or was."""
    paths = [each.path for each in names[: place + 1] if isinstance(each, Create | Rename)]
    return os.path.dirname(paths[-1])


def promised_octets(recording: Recording, file: int, cut: int) -> bytes:
    """The beginning of a file that syncs have promised by a place of the record."""
    writes = [timed for timed in recording.operations if is_write(timed.operation, file)]
    most = b""
    for sync in recording.operations:
        if sync.operation == SyncFile(file) and (sync.returned or cut) < cut:
            covered = settled(writes, sync.entered)
            octets = b"".join(each.data for each in covered if isinstance(each, Write))
            most = max(most, octets, key=len)
    return most


def is_write(operation: Operation, file: int) -> bool:
    return isinstance(operation, Write) and operation.file == file


def possible_paths(recording: Recording, model: Model, file: int, cut: int) -> list[str | None]:
    """Where a file may be at a place of the record; first, where it is for certain or was last."""
    own = [
        timed
        for timed in recording.operations
        if isinstance(timed.operation, Naming) and timed.operation.file == file
    ]
    least = 0
    for sync in recording.operations:
        if (sync.returned or cut) >= cut:
            continue
        covered = settled(own, sync.entered)
        if sync.operation == SyncFile(file) and model is Model.JOURNALED:
            least = max(least, len(covered))
        if isinstance(sync.operation, SyncFolder):
            for place in range(len(covered)):
                if folder_of(covered, place) == sync.operation.path:
                    least = max(least, place + 1)
    issued = [timed.operation for timed in own if timed.entered < cut]
    paths = [None, *(each.path if isinstance(each, Create | Rename) else None for each in issued)]
    return paths[least:]


@given(recordings(), st.sampled_from(Model))
def test_what_fsync_promised_is_in_every_state_and_in_the_least_nothing_else(
    recording: Recording, model: Model
) -> None:
    places = sorted(
        place for timed in recording.operations for place in (timed.entered, timed.returned or 0)
    )
    files = [o.file for o in map(operation_of, recording.operations) if isinstance(o, Create)]
    for stop in walk(recording, model, variants(1)[:6]):
        cut = places[stop.number] + 1
        for file in files:
            paths = possible_paths(recording, model, file, cut)
            octets = promised_octets(recording, file, cut)
            for change in stop.changes:
                kept = change.picture.find(file)
                assert (kept.path if kept else None) in paths
                if kept is not None and kept.contents is not None:
                    found = kept.contents.octets(stop.world.histories[file].pieces)
                    assert found.startswith(octets)
                    assert change.picture.variant.name != "least" or found == octets
            least = stop.changes[0].picture.find(file)
            assert (least.path if least else None) == paths[0]


def operation_of(timed: Timed) -> Operation:
    return timed.operation


# Contents


@given(
    st.lists(st.tuples(st.integers(0, 3 * BLOCK), st.integers(1, 2 * BLOCK)), max_size=6),
    st.integers(0, 6),
    st.randoms(use_true_random=False),
)
def test_what_is_not_durable_is_old_new_or_zero(
    places: list[tuple[int, int]], durable: int, source: random.Random
) -> None:
    writes = [
        Write(0, offset, bytes([number + 1]) * length)
        for number, (offset, length) in enumerate(places)
    ]
    durable = min(durable, len(writes))
    sure, everything = after(writes[:durable]), after(writes)
    found = torn(writes, durable, source)
    assert len(sure) <= len(found) <= len(everything)
    for place, octet in enumerate(found):
        possible = {0, *(w.data[0] for w in writes[durable:] if covers(w, place))}
        if place < len(sure):
            if possible == {0}:
                possible = set()  # only what was written over again can be anything else
            possible.add(sure[place])
        assert octet in possible


def covers(write: Write, place: int) -> bool:
    return write.offset <= place < write.offset + len(write.data)


def test_some_writes_are_whole() -> None:
    writes = [Write(0, 0, b"aaaa"), Write(0, 4, b"bbbb"), Write(0, 8, b"cc")]
    found = {some(writes, 1, random.Random(seed)) for seed in range(20)}
    assert found == {b"aaaa", b"aaaabbbb", b"aaaabbbbcc", b"aaaa\0\0\0\0cc"}
