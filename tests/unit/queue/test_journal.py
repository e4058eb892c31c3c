from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.queue_files import ARRIVED, enqueue

from mta.proto.status import Disposition, Status
from mta.queue.journal import Attempted, JournalRecord, JournalScanner, Retry, encode_records
from mta.queue.store import QueueStore

OK = Status(250, "2.0.0", "Ok")
BUSY = Status(450, "4.2.0", "Mailbox busy")
GONE = Status(550, "5.1.1", "No such user")


def delivered(index: int) -> Attempted:
    return Attempted(ARRIVED, index, Disposition.DELIVERED, OK, "virtual")


def deferred(index: int) -> Attempted:
    return Attempted(ARRIVED, index, Disposition.DEFERRED, BUSY, "virtual")


def bounced(index: int) -> Attempted:
    return Attempted(ARRIVED, index, Disposition.BOUNCED, GONE, "virtual")


RECORDS = st.one_of(
    st.builds(
        Attempted,
        st.floats(0, 2**40),
        st.integers(0, 2**40),
        st.sampled_from(Disposition),
        st.sampled_from([OK, BUSY, GONE]),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=320),
    ),
    st.builds(
        Retry,
        st.floats(0, 2**40),
        st.integers(0, 2**40),
        st.floats(0, 2**40),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=1024),
    ),
)


def scan(data: bytes, size: int = 1 << 20) -> list[JournalRecord]:
    def pieces() -> Iterator[tuple[bytes, bool]]:
        for start in range(0, len(data), size):
            yield data[start : start + size], start + size >= len(data)

    scanner = JournalScanner()
    return [record for piece, last in pieces() for record in scanner.feed(piece, last=last)]


@given(st.lists(RECORDS, max_size=8), st.integers(1, 300))
def test_what_is_written_is_read_in_pieces_of_any_size(
    records: list[JournalRecord], size: int
) -> None:
    assert scan(encode_records(records), size) == records


@given(st.lists(RECORDS, min_size=1, max_size=4), st.integers(1, 300), st.data())
def test_a_torn_tail_is_ignored_and_does_not_hide_what_follows(
    records: list[JournalRecord], size: int, data: st.DataObject
) -> None:
    torn = encode_records([deferred(0)])
    torn = torn[: data.draw(st.integers(0, len(torn) - 1))]
    whole = encode_records(records)
    assert scan(whole + torn, size) == records
    assert scan(torn + whole, size) == records


@given(st.lists(RECORDS, min_size=3, max_size=3), st.data())
def test_a_damaged_record_costs_itself_alone(
    records: list[JournalRecord], data: st.DataObject
) -> None:
    first, second, third = (encode_records([record]) for record in records)
    damaged = bytearray(second)
    damaged[data.draw(st.integers(0, len(second) - 1))] ^= data.draw(st.integers(1, 255))
    assert scan(first + damaged + third) == [records[0], records[2]]


def test_marks_without_end_are_no_journal() -> None:
    with pytest.raises(ValueError, match="damaged records"):
        scan(b"\xf1PHJ\0\0" * 5000)


def test_a_record_that_could_not_be_read_back_is_not_written() -> None:
    with pytest.raises(ValueError, match="not a journal record"):
        encode_records([Retry(ARRIVED, 1, ARRIVED, "x" * 1025)])


@pytest.mark.parametrize(
    ("records", "done"),
    [
        ([], set()),
        ([delivered(0), deferred(1), bounced(2)], {0, 2}),
        ([deferred(0), deferred(0), delivered(0), delivered(0)], {0}),
        ([delivered(0), deferred(0)], {0}),  # delivered is final
        ([bounced(1), deferred(1)], set()),  # an operator gave it another chance
        ([delivered(3), delivered(2**31)], set()),  # there are three recipients
    ],
)
def test_the_last_word_on_each_recipient(
    queue: QueueStore, records: list[JournalRecord], done: set[int]
) -> None:
    queue_id = enqueue(queue)
    for record in records:
        queue.append_log("incoming", queue_id, [record])
    with queue.open_message("incoming", queue_id) as message:
        assert message.done == done


def test_the_last_retry_is_in_force(queue: QueueStore) -> None:
    queue_id = enqueue(queue)
    queue.append_log("incoming", queue_id, [Retry(ARRIVED, 1, ARRIVED + 300, "busy")])
    queue.append_log("incoming", queue_id, [Retry(ARRIVED, 2, ARRIVED + 900, "still busy")])
    with queue.open_message("incoming", queue_id) as message:
        assert (message.attempts, message.next_attempt) == (2, ARRIVED + 900)
        assert message.reason == "still busy"


def test_a_long_journal_is_read_to_its_end(queue: QueueStore) -> None:
    queue_id = enqueue(queue)
    for attempt in range(40):
        records = [deferred(index % 3) for index in range(500)]
        queue.append_log("incoming", queue_id, [*records, Retry(ARRIVED, attempt, ARRIVED, "busy")])
    queue.append_log("incoming", queue_id, [delivered(2)])
    with queue.open_message("incoming", queue_id) as message:
        assert message.size > 1 << 20
        assert message.attempts == 39
        assert message.done == {2}
