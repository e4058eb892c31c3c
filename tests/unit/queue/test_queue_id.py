import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.ipc import messages
from mta.queue.queue_id import ALPHABET, arrival_time, is_queue_id, new_queue_id

TIMES = st.floats(min_value=0, max_value=2**33)
RANDOM = st.binary(min_size=8, max_size=8)


@given(TIMES, RANDOM)
def test_an_id_bears_its_time(now: float, random: bytes) -> None:
    queue_id = new_queue_id(now, random)
    assert is_queue_id(queue_id)
    assert arrival_time(queue_id) == pytest.approx(now, abs=2e-6)


@given(TIMES, TIMES, RANDOM, RANDOM)
def test_ids_sort_by_time(one: float, other: float, first: bytes, second: bytes) -> None:
    if int(one * 1e6) < int(other * 1e6):
        assert new_queue_id(one, first) < new_queue_id(other, second)


@given(RANDOM, RANDOM)
def test_all_random_bits_are_in_the_id(first: bytes, second: bytes) -> None:
    same = new_queue_id(1.0, first) == new_queue_id(1.0, second)
    assert same == (first == second)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0" * 21,
        "0" * 23,
        "0" * 22 + "\n",
        "a" + "0" * 21,  # a vowel
        "../../../../etc/passwd",
        "0/0000000000000000000/",
        ".000000000000000000000",
        "\uff10" * 22,  # fullwidth digits
    ],
)
def test_what_is_no_id_never_becomes_a_path(text: str) -> None:
    assert not is_queue_id(text)
    with pytest.raises(ValueError, match="not a queue id"):
        arrival_time(text)


@pytest.mark.parametrize(
    ("now", "random"), [(-1.0, bytes(8)), (52.0**10, bytes(8)), (1.0, bytes(7)), (1.0, bytes(9))]
)
def test_what_no_id_can_bear_is_refused(now: float, random: bytes) -> None:
    with pytest.raises(ValueError, match=r"queue id|octets"):
        new_queue_id(now, random)


def test_the_protocol_has_the_same_alphabet() -> None:
    assert f"[0-9{ALPHABET[10:]}]" in str(messages.QueueId)
    assert sorted(ALPHABET) == list(ALPHABET)
    assert not re.search("[aeiou]", ALPHABET, re.IGNORECASE)
