"""Sources of tables: entries as postmap(1) reads them, and errors that say where."""

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.lookup.fold import fold
from mta.lookup.lines import LINE_LIMIT
from mta.lookup.source import Entry, SourceError, read_source


def read(data: bytes) -> list[tuple[str, str, int, int]]:
    entries = read_source(io.BytesIO(data), "t")
    return [(it.key, it.value, it.line, it.column) for it in entries]


@pytest.mark.parametrize(
    ("data", "entries"),
    [
        (b"", []),
        (b"\n \t\n# a b\n   # c\n", []),
        (b"k v\n", [("k", "v", 1, 3)]),
        (b"k v", [("k", "v", 1, 3)]),
        (b"k v\r\nl w\r\n", [("k", "v", 1, 3), ("l", "w", 2, 3)]),
        (b"\n\nKey\t  a value  \n", [("key", "a value", 3, 7)]),
        (b"k\n v\n", [("k", "v", 2, 2)]),
        (b"k a\n  b\n\tc\nl d\n", [("k", "a  b\tc", 1, 3), ("l", "d", 4, 3)]),
        (b"k a\n# comment\n\n  # another\n  b\n", [("k", "a  b", 1, 3)]),
        (b"k a # b\n", [("k", "a # b", 1, 3)]),
        (b'"a b" v\n', [('"a b"', "v", 1, 7)]),
        (b'"a b"@c v\n', [('"a b"@c', "v", 1, 9)]),
        (b'"a \\" b" v\n', [('"a \\" b"', "v", 1, 10)]),
        (b"a\\ b v\n", [("a\\ b", "v", 1, 6)]),
        (b"k\xc2\xa0 v\n", [("k\u00a0", "v", 1, 4)]),
        ("STRASSE\u00df \u00c4\n".encode(), [("strassess", "\u00c4", 1, 10)]),
        (b"k v\nK w\n", [("k", "v", 1, 3), ("k", "w", 2, 3)]),
        (b"k " + b"x" * 50_000, [("k", "x" * 50_000, 1, 3)]),
        (b"k" * 1024 + b" v", [("k" * 1024, "v", 1, 1026)]),
    ],
    ids=range(19),
)
def test_entries(data: bytes, entries: list[tuple[str, str, int, int]]) -> None:
    assert read(data) == entries


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"a b\nkey\n", "t:2:4: expected KEY WHITE-SPACE VALUE, got no value"),
        (b"key  \n", "t:1:4: expected KEY WHITE-SPACE VALUE, got no value"),
        (b'a "b\n"c d\n', "t:2:1: expected a second double quote"),
        (b"a\\", "t:1:2: expected a character after the backslash"),
        (b"k v\n \xff\n", "t:2:2: expected UTF-8, got the octet 0xff"),
        (b"k \xc3\xa4\n \xc3\xa4\xe4", "t:2:3: expected UTF-8, got the octet 0xe4"),
        (b"k\xff v", "t:1:2: expected UTF-8, got the octet 0xff"),
        (b"a b\0", "t:1:4: expected text, got a NUL"),
        (b"\xef\xbb\xbfa b", "t:1:1: expected text, got a byte order mark"),
        (b"k " + b"x" * 50_001, "t:1:3: expected a value of at most 50000 octets"),
        (b"k" * 1025 + b" v", "t:1:1: expected a key of at most 1024 characters"),
        (b"a b\nk " + b"x" * LINE_LIMIT, "t:2: expected at most 1048576 octets in a line"),
        (b"k" + b"\n v" * (LINE_LIMIT // 2), "t:524289: expected at most 1048576 octets in a line"),
        (
            b"\n  a b\n",
            (
                "t:2:3: expected a line that starts with text: this one starts with white space, "
                "and there is none before that it could continue"
            ),
        ),
    ],
    ids=range(14),
)
def test_errors_say_where(data: bytes, reason: str) -> None:
    with pytest.raises(SourceError) as raised:
        read(data)
    assert str(raised.value) == reason


def test_all_that_is_wrong_is_told_and_left_out() -> None:
    errors: list[SourceError] = []
    data = io.BytesIO(b" x\na b\nc\nd \xff\ne f\n")
    entries = list(read_source(data, "t", errors.append))
    assert entries == [Entry("a", "b", 2, 3), Entry("e", "f", 5, 3)]
    assert [str(it).split(" ")[0] for it in errors] == ["t:1:2:", "t:3:2:", "t:4:3:"]


WHITE = " \t\r\n\v\f"
characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
values = st.text(characters, min_size=1, max_size=30).filter(
    lambda it: it == it.strip(WHITE) and "\n" not in it
)
bare_keys = st.text(characters, min_size=1, max_size=20).filter(
    lambda it: not set(it) & set(WHITE + '"\\') and it[0] not in "#\ufeff"
)


def quote(text: str) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


quoted_keys = st.text(characters, max_size=10).filter(lambda it: "\n" not in it).map(quote)
keys = st.one_of(bare_keys, quoted_keys)


@given(
    st.lists(st.tuples(keys, values)),
    st.sampled_from([" ", "\t", "\n ", " \n\n# c\n\t"]),
    st.sampled_from(["", "\n", "# k v\n", "  \n"]),
)
def test_what_is_written_is_read(
    items: list[tuple[str, str]], separator: str, between: str
) -> None:
    def whole(text: str) -> bool:
        # On a line of its own a value may look like a comment.
        return "\n" not in separator or not text.startswith("#")

    items = [it for it in items if whole(it[1])]
    text = "".join(f"{between}{key}{separator}{value}\n" for key, value in items)
    assert [it[:2] for it in read(text.encode())] == [(fold(key), value) for key, value in items]


@given(st.binary(max_size=60))
def test_any_octets_are_entries_or_a_place(data: bytes) -> None:
    reason = ""
    try:
        entries = read(data)
    except SourceError as error:
        entries, reason = [], str(error)
    assert not reason or re.match(r"t:\d+:\d+: expected ", reason)
    assert all(key and value for key, value, _, _ in entries)
