"""The client of the lookup service: how keys are asked for, and what its caller gets."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.ipc import Journal, Listening

from mta.ipc.client import Unavailable
from mta.ipc.connection import Descriptors, encode
from mta.ipc.lookup import LookupClient, _portions
from mta.ipc.messages import Find, Found, LookupRequest, Refused
from mta.ipc.server import RequestServer
from mta.lookup.table import KEY_LIMIT, Hit, Key
from mta.proto.status import MailError, Status

FAILED = Status(451, "4.3.0", "Temporary lookup failure")
KEYS = [Key(str(number), partial=number % 2 == 1) for number in range(40)]


def find(
    loop: asyncio.AbstractEventLoop,
    journal: Journal,
    folder: Path,
    answer: Callable[[Find], Found | Refused],
    keys: list[Key],
) -> tuple[Hit | None, list[Find]]:
    """What the client makes of a server's answers, and what it asked."""
    asked: list[Find] = []

    def serve(request: Find, _: Descriptors) -> Found | Refused:
        asked.append(request)
        return answer(request)

    async def scenario() -> Hit | None:
        server = RequestServer[Find](LookupRequest, journal.log, lambda: None, serve)
        listening = Listening(
            folder / "socket", lambda peer, done: server.connect(peer, "socket", done)
        )
        client = LookupClient(loop, 10, journal.log, "row", listening.path)
        try:
            return await client.find("canonical_maps", keys)
        finally:
            client.close()
            listening.close()

    return loop.run_until_complete(scenario()), asked


def test_more_keys_than_a_request_has(
    loop: asyncio.AbstractEventLoop, journal: Journal, short_path: Path
) -> None:
    """They are asked for in their order, and the hit is counted over all of them."""

    def answer(request: Find) -> Found:
        texts = [key.text for key in request.keys]
        return Found(texts.index("20"), "value") if "20" in texts else Found(-1, "")

    hit, asked = find(loop, journal, short_path, answer, KEYS)
    assert hit == Hit(20, "value")
    assert asked == [
        Find("row", "canonical_maps", tuple(KEYS[:16])),
        Find("row", "canonical_maps", tuple(KEYS[16:32])),
    ]
    (short_path / "socket").unlink(missing_ok=True)
    assert find(loop, journal, short_path, lambda _: Found(-1, ""), KEYS[:3])[0] is None


def test_failure_passes_through(
    loop: asyncio.AbstractEventLoop, journal: Journal, short_path: Path
) -> None:
    with pytest.raises(MailError) as caught:
        find(loop, journal, short_path, lambda _: Refused(FAILED, "damaged"), KEYS)
    assert (caught.value.status, caught.value.reason) == (FAILED, "damaged")


def test_answer_for_a_key_that_was_not_asked(
    loop: asyncio.AbstractEventLoop, journal: Journal, short_path: Path
) -> None:
    with pytest.raises(Unavailable, match="an answer for key 3 of 3"):
        find(loop, journal, short_path, lambda _: Found(3, "value"), KEYS[:3])


def test_key_of_a_megabyte_is_not_asked_for(
    loop: asyncio.AbstractEventLoop, journal: Journal, short_path: Path
) -> None:
    """The service would take it for garbage, and hang up on all who share the connection."""
    with pytest.raises(Unavailable, match="a key of more than 1024 characters"):
        find(loop, journal, short_path, lambda _: Found(-1, ""), [Key("x" * (1 << 20))])


@given(st.lists(st.text(max_size=KEY_LIMIT).map(Key) | st.just(Key("\U0001f4e7" * KEY_LIMIT))))
def test_every_request_fits_a_frame(keys: list[Key]) -> None:
    portions = list(_portions("canonical_maps", keys))
    assert [key for portion in portions for key in portion] == keys
    for portion in portions:
        encode(1, Find("x" * 32, "x" * 64, portion))
