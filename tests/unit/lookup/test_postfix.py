"""The same tables and keys, put to Debian's Postfix and to ours: postmap -q answers both.

Left out is where we differ on purpose: what Postfix warns of and passes over is an error here,
characters beyond ASCII are characters to our patterns and octets to its, and among several ways to
match a POSIX expression ours is not always the longest (mta.lookup.posix).
"""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.postmap import POSTFIX_PCRE, Postmap

from mta.lookup.fold import fold
from mta.lookup.open import open_table
from mta.lookup.syntax import parse
from mta.lookup.table import TableError

pytestmark = pytest.mark.requires("postmap")


@pytest.fixture(scope="module")
def postmap(tmp_path_factory: pytest.TempPathFactory) -> Postmap:
    return Postmap(tmp_path_factory.mktemp("postmap"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


def write_source(file: Path, text: str) -> None:
    """A source that has been there for a while: Postfix waits until nobody can be writing it."""
    file.write_text(text, encoding="utf-8")
    os.utime(file, (0, 0))


def compare(postmap: Postmap, table: str, keys: list[str]) -> dict[str, str]:
    """What was found, if both agree on it."""
    ours = open_table(parse(table))
    found = {key: value for key in keys if (value := ours.find(key)) is not None}
    assert postmap.query(table, keys) == found
    return found


SOURCE = """\
# comment
User@Example.org  someone@example.net,
    other@example.net
"john doe"@example.org  quoted
"a \\" b"  escaped
back\\ slash  v
key    # no comment
# comment within
  goes on
STRASSE\u00df  \u00c4
last v"""


def test_texthash(postmap: Postmap, folder: Path) -> None:
    file = folder / "texthash"
    write_source(file, SOURCE)
    keys = ["user@example.org", "USER@example.ORG", '"john doe"@example.org', "john doe", "key"]
    keys += ['"a \\" b"', "back\\ slash", "strasse\u00df", "strassess", "last", "none", "#"]
    assert len(compare(postmap, f"texthash:{file}", keys)) == 9


WHITE = " \t\r\n\v\f"
# Beyond Latin-1 the two fold with Unicode tables of different years.
letters = st.characters(max_codepoint=0xFF, exclude_characters="\0\n" + WHITE)
words = st.text(letters, min_size=1, max_size=6)


@given(
    st.dictionaries(
        words.filter(lambda it: it[0] not in '#-:"' and not set(it) & set('"\\:')),
        words.filter(lambda it: it[0] != "#"),
        min_size=1,
        max_size=8,
    ),
    st.lists(words.filter(lambda it: it[0] != "-"), max_size=5),
)
@settings(max_examples=40)
def test_texthash_of_any_words(
    postmap: Postmap, folder: Path, items: dict[str, str], others: list[str]
) -> None:
    file = folder / "words"
    unique = {fold(key): value for key, value in items.items()}
    text = "".join(f"{key} {value}\n" for key, value in unique.items())
    write_source(file, text)
    assert set(unique) <= set(compare(postmap, f"texthash:{file}", [*unique, *others]))


@pytest.mark.parametrize(
    "table",
    [
        "static:x",
        "static:x y",
        "static:{ x y }",
        "static:{ {x} }",
        "inline:{a=b}",
        "inline:{a=b;c=d}",
        "inline:{{a = b c, d}}",
        'inline:{{"a b" = x}}',
        'inline:{{"a=b"=c}, a==c}',
        r"inline:{{a\ b=x}}",
        "inline:{a={b c}}",
        "inline:{ {a=b{c}d} , B=1\tc=2 }",
        "unionmap:{static:x,static:y}",
        "unionmap:{static:{a b} inline:{a=c}}",
        "unionmap:{inline:{a=c}, inline:{b=d}}",
        "pipemap:{inline:{a=b},inline:{b=c}}",
        "pipemap:{static:A,inline:{a=z}}",
        "pipemap:{inline:{a=b, b=c} static:x unionmap:{inline:{x=1} inline:{x=2}}}",
    ],
)
def test_names(postmap: Postmap, table: str) -> None:
    compare(postmap, table, ["a", "A", "b", '"a b"', "a b", r"a\ b", '"a=b"', "a=b", "c"])


NETWORKS = """\
10.0.0.0/8      ten
[172.16.0.0]/12 twelve
[192.0.2.0/24]  documentation,
    in two lines
192.0.3.1       host
::1             loopback
2001:db8::/032  six
[::ffff:0:0]/96 mapped
if 198.51.100.0/24
198.51.100.0/25 low
IF !198.51.100.128/26
198.51.100.0/24 high
endif
endif
if !203.0.113.0/24
!192.0.0.0/8    neither 192 nor 203
::/0            never: another family
endif
! ! 203.0.113.7 even
!2001::/16      other six
"""
ADDRESSES = [
    *("10.1.2.3", "172.31.255.255", "172.32.0.0", "192.0.2.1", "192.0.3.1", "192.0.3.2"),
    *("::1", "0:0:0:0:0:0:0:1", "2001:DB8:1::1", "2001::1", "3000::", "::ffff:10.1.2.3"),
    *("198.51.100.1", "198.51.100.130", "198.51.100.200", "203.0.113.7", "203.0.113.8"),
    *("[10.1.2.3]", "[::1]", "10.1.2.03", "10.1.2", "10.1.2.3/32", "fe80::1%lo", "a@b", "1"),
]


def test_cidr(postmap: Postmap, folder: Path) -> None:
    file = folder / "cidr"
    file.write_text(NETWORKS)
    assert len(compare(postmap, f"cidr:{file}", ADDRESSES)) == 14


PATTERNS = """\
/^postmaster@/  OK
/[%!@].*[%!@]/  550 Sender-specified routing rejected
if !/^owner-/
/^(.*)-outgoing@(.*)$/  550 Use ${1}@$(2) instead, $$$1
if /^x/i
/^x(.)?y(.)?$/  <$1> <$2>
endif
endif
!/@/  no at,
    at all
~^[[:alnum:]+/]{6,}$~m  OK
|^a\\|b@| bar
/ space @/ space
"""
KEYS = [
    *("postmaster@x", "POSTMASTER@x", "a@b@c", "a%b@c", "list-outgoing@b", "owner-a-outgoing@b"),
    *("xy", "x1y", "xy2", "x1y2", "X1Y2", "user", "a|b@c", "a space @", "a@b", "noddy"),
]


@pytest.mark.parametrize(
    "kind",
    ["regexp", pytest.param("pcre", marks=pytest.mark.requires(*POSTFIX_PCRE))],
)
def test_patterns(postmap: Postmap, folder: Path, kind: str) -> None:
    file = folder / kind
    file.write_text(PATTERNS)
    assert len(compare(postmap, f"{kind}:{file}", KEYS)) == 14


@pytest.mark.requires(*POSTFIX_PCRE)
@pytest.mark.parametrize(
    "rule",
    [
        *("/a.b/s x", "/a b/x x", "/b/A x", "/a|b/A x", "/a$/ x", "/a$/E x", "/^b/m x", "/A/i x"),
        *("/^(a+)(a*)$/U <$1><$2>", "/^(a+)(a*)$/ <$1><$2>", "/(?<n>a)(?(n)b)/ $1", r"/\d\w/ x"),
        *(r"/\x{61}/ x", r"/\Q\x{61}\E/ x", "/(*ANYCRLF)^b/m x", "/(a)|(b)/ <$1$2>", "!/a/ x"),
    ],
)
def test_what_pcre_has_alone(postmap: Postmap, folder: Path, rule: str) -> None:
    file = folder / "rule"
    file.write_text(f"{rule}\n")
    table = open_table(parse(f"pcre:{file}"))
    for key in ("a", "A", "b", "ab", "ba", "aaa", "a\n", "a\nb", "a\rb", "1a", r"\x{61}"):
        assert table.find(key) == postmap.ask(f"pcre:{file}", key), key


def _joined(parts: list[str]) -> str:
    return "".join(parts)


atoms = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", "[]a]", r"\.", r"[\b]", "[[:alpha:]]", "-"])
EDGES = ("^", "$", r"\<", r"\>", r"\b", r"\B", r"\`", r"\'")
edges = st.sampled_from(EDGES)
repeats = st.sampled_from(["", "", "*", "+", "?", "{2}", "{1,2}", "{,1}", "{1,}", "*+", "??"])


def _group(it: tuple[str, str]) -> str:
    # The C library loses edges in groups that are repeated: there (^.){2} matches aa.
    return f"({it[0]})" if any(edge in it[0] for edge in EDGES) else f"({it[0]}){it[1]}"


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    group = st.tuples(inner, repeats).map(_group)
    chain = st.lists(inner, min_size=2, max_size=3)
    return st.one_of(group, chain.map(_joined), chain.map("|".join))


leaves = st.one_of(st.tuples(atoms, repeats).map(lambda it: it[0] + it[1]), edges)
expressions = st.recursive(leaves, _larger, max_leaves=6)
subjects = st.text("ab.-]\\ ", max_size=5).filter(lambda it: it and it[0] != "-")


@given(expressions, st.lists(subjects, min_size=1, max_size=12), st.sampled_from(["", "i", "m"]))
@settings(max_examples=60)
def test_any_posix_expression(
    postmap: Postmap, folder: Path, expression: str, keys: list[str], flags: str
) -> None:
    file = folder / "expression"
    file.write_text(f"/{expression}/{flags} x\n")
    compare(postmap, f"regexp:{file}", keys)


basic_atoms = st.sampled_from(["a", "b", ".", "[ab]", "+", "?", "|", "{", "(", ")", "^", "$", "*"])
basic_repeats = st.sampled_from(["", "", "*", r"\+", r"\?", r"\{2\}", r"\{1,2\}"])


def _larger_basic(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    group = st.tuples(inner, basic_repeats).map(lambda it: rf"\({it[0]}\){it[1]}")
    return st.one_of(group, st.lists(inner, min_size=2, max_size=3).map(_joined))


basic = st.recursive(
    st.tuples(basic_atoms, basic_repeats).map("".join), _larger_basic, max_leaves=6
)


# Repeating what is repeated, or an edge, is for each implementation to judge.
UNUSUAL = ("^*", "^\\", "$\\", "(*", "**", "*\\", r"\+*", r"\?*", r"\}*")


def _usual(expression: str) -> bool:
    return not any(it in expression for it in UNUSUAL)


@given(basic.filter(_usual), st.lists(st.text("ab+?|{()^$*", min_size=1, max_size=5), max_size=12))
@settings(max_examples=60)
def test_any_basic_expression(
    postmap: Postmap, folder: Path, expression: str, keys: list[str]
) -> None:
    file = folder / "basic"
    file.write_text(f"/{expression}/x x\n")
    compare(postmap, f"regexp:{file}", keys)


@pytest.mark.requires(*POSTFIX_PCRE)
def test_what_does_not_end_is_no_missing_key(postmap: Postmap, folder: Path) -> None:
    """Postfix gives up after ten million steps, warns, and goes on as if there were no match."""
    file = folder / "bomb"
    file.write_text("/(a+)+$/ x\n")
    key = "a" * 40 + "b"
    assert postmap.ask(f"pcre:{file}", key) is None
    with pytest.raises(TableError, match="match limit exceeded"):
        open_table(parse(f"pcre:{file}")).find(key)
