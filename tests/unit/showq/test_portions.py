"""A list of the queue in frames: none is too large, and nothing is lost between two."""

from hypothesis import given
from hypothesis import strategies as st

from mta.commands.queue.asking import joined
from mta.commands.queue.view import DamagedFiles
from mta.daemons.showq.portions import portions
from mta.ipc.connection import encode
from mta.ipc.frames import FrameReader
from mta.ipc.messages import FRAME_LIMIT, Listed, ShowqReply
from mta.queue.entry import Entry
from mta.queue.queue_id import new_queue_id

READER = FrameReader[Listed](ShowqReply)
WIDE = "\U0001f40c"  # four octets


def entry(
    number: int, recipients: int, letter: str, length: int, *, damaged: bool = False
) -> Entry:
    return Entry(
        queue_id=new_queue_id(1_700_000_000 + number, bytes(8)),
        state="deferred",
        size=1000 + number,
        arrived=1_700_000_000.0,
        attempts=3,
        next_attempt=1_700_000_100.0,
        sender=letter * min(length, 320),
        recipients=(letter * min(length, 320),) * recipients,
        statuses=(f"450 4.2.0 {letter * min(length, 512)}",) * recipients,
        reason=letter * length,
        damaged=damaged,
    )


def heard(entries: list[Entry]) -> tuple[list[Entry], int]:
    """What a client makes of the frames that it gets."""
    damaged = DamagedFiles()
    frames = [encode(1, part) for part in portions(entries)]
    assert max(map(len, frames)) <= FRAME_LIMIT
    parts = [READER.take(frame, (), 0)[1] for frame in frames]
    assert [part.more for part in parts] == [True] * (len(parts) - 1) + [False]
    return list(joined(parts, damaged)), damaged.count


@given(
    st.lists(
        st.tuples(
            st.sampled_from((0, 1, 3, 200, 1001)),
            st.sampled_from(("x", "\xe9", WIDE)),
            st.sampled_from((0, 1, 40, 320, 1024)),
            st.booleans(),
        ),
        max_size=12,
    )
)
def test_what_is_listed_arrives(shapes: list[tuple[int, str, int, bool]]) -> None:
    entries = [
        entry(number, recipients, letter, length, damaged=damaged)
        for number, (recipients, letter, length, damaged) in enumerate(shapes)
    ]
    found, damaged = heard(entries)
    assert found == [each for each in entries if not each.damaged]
    assert damaged == sum(each.damaged for each in entries)


def test_frames_are_well_filled() -> None:
    """Thousands of small messages do not cost a frame each."""
    entries = [entry(number, 1, "x", 30) for number in range(3000)]
    assert len(list(portions(entries))) < 20


def test_a_message_for_very_many() -> None:
    found, _ = heard([entry(1, 100_000, "x", 10), entry(2, 1, "y", 10)])
    assert [len(each.recipients) for each in found] == [100_000, 1]


def test_a_part_is_made_when_it_is_asked_for() -> None:
    """The queue is read as fast as the list is, and no faster."""
    taken = 0

    def source() -> object:
        nonlocal taken
        for number in range(10_000):
            taken += 1
            yield entry(number, 1, "x", 100)

    next(portions(source()))  # type: ignore[arg-type]
    assert taken < 1000
