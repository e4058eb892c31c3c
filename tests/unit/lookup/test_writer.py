"""A constant table that is written: keys that come again, and what no table can hold."""

import itertools
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.constant_tables import write_table

from mta.lookup.cdb import PROBE_LIMIT, hash_of
from mta.lookup.constant import ConstantTable
from mta.lookup.table import KEY_LIMIT, VALUE_LIMIT
from mta.lookup.writer import Repeated, UnfitError

PAIRS = [
    (f"{piece}{number}", f"value {piece}{number}" * 50)
    for number in range(500)
    for piece in ("a", "b")
]


def alike(count: int) -> list[str]:
    """So many keys that all have the same hash."""
    size = max(count - 1, 1).bit_length()
    keys = ["".join(pieces) for pieces in itertools.product(("ap", "g6"), repeat=size)]
    assert len({hash_of(key.encode()) for key in keys}) == 1
    return keys[:count]


class TestKeysThatComeAgain:
    def test_the_first_stays_and_both_places_are_told(self, tmp_path: Path) -> None:
        items = [("a", "1"), ("b", "2"), ("a", "3"), ("c", "4"), ("b", "5"), ("a", "6")]
        repeated = write_table(tmp_path / "table.cdb", items)
        assert repeated == [Repeated("a", 3, 1), Repeated("b", 5, 2), Repeated("a", 6, 1)]
        table = ConstantTable(str(tmp_path / "table"))
        assert [table.find(key) for key in "abcd"] == ["1", "2", "4", None]

    @given(
        items=st.lists(
            st.tuples(st.sampled_from([*alike(4), "other", "x"]), st.text("v", max_size=9)),
            max_size=30,
        )
    )
    @settings(deadline=None)
    def test_what_is_written_is_what_is_written_without_them(
        self, items: list[tuple[str, str]]
    ) -> None:
        first: dict[str, tuple[str, int]] = {}
        for line, (key, value) in enumerate(items, 1):
            first.setdefault(key, (value, line))
        with tempfile.TemporaryDirectory() as folder:
            repeated = write_table(Path(folder, "with.cdb"), items)
            write_table(Path(folder, "without.cdb"), [(k, v) for k, (v, _) in first.items()])
            assert Path(folder, "with.cdb").read_bytes() == Path(folder, "without.cdb").read_bytes()
        assert repeated == [
            Repeated(key, line, first[key][1])
            for line, (key, _) in enumerate(items, 1)
            if line != first[key][1]
        ]

    def test_many_of_them_among_many_blocks(self, tmp_path: Path) -> None:
        items = [*PAIRS, *reversed(PAIRS), ("last", "one")]
        repeated = write_table(tmp_path / "with.cdb", items)
        assert len(repeated) == len(PAIRS)
        write_table(tmp_path / "without.cdb", [*PAIRS, ("last", "one")])
        assert (tmp_path / "with.cdb").read_bytes() == (tmp_path / "without.cdb").read_bytes()


class TestBounds:
    def test_keys_with_the_same_hash_are_told_apart(self, tmp_path: Path) -> None:
        keys = alike(PROBE_LIMIT // 2)
        write_table(tmp_path / "table.cdb", [(key, key) for key in keys])
        table = ConstantTable(str(tmp_path / "table"))
        assert all(table.find(key) == key for key in keys)
        assert table.find("ap" * 30) is None

    @pytest.mark.parametrize("count", [PROBE_LIMIT, PROBE_LIMIT + 1])
    def test_too_many_keys_with_the_same_hash(self, tmp_path: Path, count: int) -> None:
        with pytest.raises(UnfitError, match="more than 1000 keys have hashes alike"):
            write_table(tmp_path / "table.cdb", [(key, "") for key in alike(count)])

    def test_a_key_that_nobody_can_ask_for(self, tmp_path: Path) -> None:
        with pytest.raises(UnfitError, match="a key of 1025 characters: at most 1024 are allowed"):
            write_table(tmp_path / "table.cdb", [("k" * (KEY_LIMIT + 1), "")])

    def test_a_value_that_no_reply_can_hold(self, tmp_path: Path) -> None:
        with pytest.raises(UnfitError, match="a value of 50001 octets"):
            write_table(tmp_path / "table.cdb", [("key", "\u00e9" + "v" * (VALUE_LIMIT - 1))])

    def test_the_size_of_a_file(self, tmp_path: Path) -> None:
        items = [(str(number), "value") for number in range(100)]
        write_table(tmp_path / "table.cdb", items)
        size = (tmp_path / "table.cdb").stat().st_size
        write_table(tmp_path / "table.cdb", items, limit=size)
        with pytest.raises(UnfitError, match=f"a table of more than {size - 1} octets"):
            write_table(tmp_path / "table.cdb", items, limit=size - 1)
