"""What a power cut may leave: never less than a flush has covered."""

import random
from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from reliability.filesystems.cuts import Place, planned
from reliability.filesystems.history import Barrier, History, Variant, Write, read_log, surviving
from reliability.filesystems.server import BARRIER, RECORD, WRITE

SECTOR = 512
BLOCKS = 4


def log_of(steps: Sequence[int | None]) -> bytes:
    """A log: a number is a write of two sectors at that block, None a flush of all before it."""
    log = b""
    for number, block in enumerate(steps):
        if block is None:
            log += RECORD.pack(BARRIER, len(log), 0)
        else:
            data = bytes([number % 251 + 1]) * 2 * SECTOR
            log += RECORD.pack(WRITE, block * SECTOR, len(data)) + data
    return log


HISTORIES = st.lists(st.one_of(st.none(), st.integers(0, BLOCKS)), min_size=1, max_size=12).map(
    lambda steps: read_log(log_of(steps))
)


def applied(writes: Sequence[Write]) -> bytearray:
    """A medium with these writes."""
    medium = bytearray((BLOCKS + 2) * SECTOR)
    for write in writes:
        medium[write.offset : write.offset + len(write.data)] = write.data
    return medium


def test_a_log_is_read_up_to_the_record_in_the_making() -> None:
    log = log_of([1, None, 2])
    history = read_log(log)
    first, flush, second = history.records
    assert isinstance(first, Write)
    assert isinstance(second, Write)
    assert (first.offset, second.offset) == (SECTOR, 2 * SECTOR)
    assert bytes(second.data) == b"\3" * 2 * SECTOR
    assert flush == Barrier(first.position + RECORD.size, first.position)
    assert second.position == len(log)
    assert read_log(log[:-1]).records == [first, flush]


def test_a_flush_counts_when_it_is_done_and_covers_what_was_done_before() -> None:
    log = RECORD.pack(WRITE, 0, 1) + b"a"
    before = len(log)
    log += RECORD.pack(WRITE, 1, 1) + b"b"  # under way when the flush is asked for
    asked = len(log)
    log += RECORD.pack(BARRIER, before, 0)
    history = read_log(log)
    assert history.covered(asked) == 0
    assert history.covered(len(log)) == before
    assert [write.offset for write in history.writes(before, len(log))] == [1]


@given(history=HISTORIES, data=st.data(), variant=st.sampled_from(Variant), seed=st.integers(0, 99))
def test_what_a_flush_covered_is_in_every_state(
    history: History, data: st.DataObject, variant: Variant, seed: int
) -> None:
    cut = data.draw(st.sampled_from(history.positions))
    covered = history.covered(cut)
    certain, later = history.writes(0, covered), history.writes(covered, cut)
    kept = surviving(later, variant, random.Random(seed), SECTOR)
    left, least = applied([*certain, *kept]), applied(certain)
    overwritten = {
        sector
        for write in later
        for sector in range(write.offset // SECTOR, (write.offset + len(write.data)) // SECTOR)
    }
    for sector in range(BLOCKS + 2):
        if sector not in overwritten:
            place = slice(sector * SECTOR, (sector + 1) * SECTOR)
            assert left[place] == least[place]


@given(history=HISTORIES, variant=st.sampled_from(Variant), seed=st.integers(0, 99))
def test_what_is_left_was_written_in_that_order(
    history: History, variant: Variant, seed: int
) -> None:
    writes = {write.position: write for write in history.writes(0, history.positions[-1])}
    kept = surviving(list(writes.values()), variant, random.Random(seed), SECTOR)
    for write in kept:
        whole = writes[write.position]
        assert bytes(whole.data).startswith(bytes(write.data))
        assert len(write.data) % SECTOR == 0
        assert write.offset == whole.offset
    assert all(first.position < second.position for first, second in pairwise(kept))
    if variant is Variant.NONE:
        assert not kept
    if variant is Variant.ALL:
        assert kept == list(writes.values())


def test_cuts_have_each_place_with_each_variant_and_come_in_order() -> None:
    history = read_log(log_of([1, None, 2, 3, None, 1, None] * 5))
    begin = history.positions[6]
    acknowledged = [history.positions[10] - 1]
    cuts = planned(history, begin, acknowledged, 30, random.Random(1))
    assert {(cut.place, cut.variant) for cut in cuts} == {
        (place, variant) for place in Place for variant in Variant
    }
    assert [cut.position for cut in cuts] == sorted(cut.position for cut in cuts)
    assert all(cut.position >= begin for cut in cuts)
    assert {cut.position for cut in cuts if cut.place is Place.ACKNOWLEDGEMENT} == {
        history.positions[10]
    }
    assert {cut.started for cut in cuts} == {True, False}
