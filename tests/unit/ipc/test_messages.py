"""What one daemon says is what the other hears, for every message type."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.messages import MESSAGE_TYPES, messages

from mta.ipc.connection import encode
from mta.ipc.messages import (
    CONTENT_BESIDE_RECIPIENTS,
    CONTENT_LIMIT,
    FRAME_LIMIT,
    RECIPIENTS_LIMIT,
    Begin,
    Message,
    Refused,
)
from mta.proto.envelope import Origin, Recipient
from mta.proto.status import Status


@pytest.mark.parametrize("kind", MESSAGE_TYPES)
@given(data=st.data())
def test_round_trip(kind: type[Message], data: st.DataObject) -> None:
    body = data.draw(messages(kind))
    number = data.draw(st.integers(0, 2**63 - 1))
    frame = encode(number, body)
    assert msgspec.msgpack.decode(frame, type=tuple[int, int, kind]) == (  # type: ignore[valid-type]
        1,
        number,
        body,
    )


@pytest.mark.parametrize(
    ("people", "size"), [(RECIPIENTS_LIMIT, CONTENT_BESIDE_RECIPIENTS), (0, CONTENT_LIMIT)]
)
def test_the_fullest_frames_fit(people: int, size: int) -> None:
    longest = "u" * 64 + "@" + "d" * 255
    origin = Origin("E" * 16, "a" * 255, 65535, "h" * 255, "s" * 255)
    recipients = (Recipient(longest, longest),) * people
    body = Begin(longest, origin, True, recipients, b"x" * size, True)
    assert len(encode(2**63 - 1, body)) <= FRAME_LIMIT


def test_a_frame_that_is_too_long_is_never_made() -> None:
    with pytest.raises(ValueError, match="a frame of"):
        encode(1, Refused(Status(451, "4.3.0", "busy"), "x" * FRAME_LIMIT))
