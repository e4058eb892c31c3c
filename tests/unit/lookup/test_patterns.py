"""pcre and regexp: what matches, what comes of it, what is refused, and that all of it ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.lookup.open import open_table
from mta.lookup.syntax import parse
from mta.lookup.table import Table, TableError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "t"


def table_of(kind: str, file: Path, content: str) -> Table:
    file.write_text(content, encoding="utf-8")
    return open_table(parse(f"{kind}:{file}"))


BOTH = [
    # of pcre and of regexp alike: the rule, a key, and what is found
    ("/^(.*)@(.*)$/ ${2}!$(1)", "User@d", "d!User"),
    ("/a/ x", "A", "x"),
    ("/a/i x", "A", None),
    ("/a/ii x", "A", "x"),
    ("/a.b/ x", "a\nb", "x"),
    ("/^b/ x", "a\nb", None),
    ("/^b/m x", "a\nb", "x"),
    ("/a$/m x", "a\nb", "x"),
    ("!/a/ x", "b", "x"),
    ("!/a/ x", "a", None),
    ("! ! /a/ x", "a", "x"),
    ("~a/b~ x", "a/b", "x"),
    ("|a\\|b| x", "a|b", "x"),
    ("/a\\/b/ x", "a/b", "x"),
    ("/a b/ x", "a b", "x"),
    ("/a/   two  words  ", "a", "two  words"),
    ("/a/\n   next line", "a", "next line"),
    ("/(a)|(b)/ <$1$2>", "b", "<b>"),
    ("/(a)/ $$1 $1$$ 5$$", "a", "$1 a$ 5$"),
    ("// x", "", "x"),
    ("/\u00e4.c/ x", "\u00c4\u00f6C", "x"),
    ("/^.$/ x", "\u00e4", "x"),
    ("/a/ \u00e4$$", "a", "\u00e4$"),
    ("if /a/\n/b/ x\nendif\n/c/ y", "abc", "x"),
    ("if /a/\n/b/ x\nendif\n/c/ y", "bc", "y"),
    ("if !/a/\nif /b/\n/c/ x\nendif\nendif\n/^/ y", "bc", "x"),
    ("if !/a/\nif /b/\n/c/ x\nendif\nendif\n/^/ y", "abc", "y"),
    ("IF/a/\n/b/ x\nENDIF", "ab", "x"),
    ("/(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)/ ${11}$2", "abcdefghijk", "kb"),
]
PCRE = [
    ("/a.b/s x", "a\nb", None),
    ("/a b # c/x x", "ab", "x"),
    ("/b/A x", "ab", None),
    ("/b/A x", "ba", "x"),
    ("/a|b/A x", "cb", None),
    ("/a$/ x", "a\n", "x"),
    ("/a$/E x", "a\n", None),
    ("/^(a+)(a*)$/ $1-$2", "aaa", "aaa-"),
    ("/^(a+)(a*)$/U $1-$2", "aaa", "a-aa"),
    ("/a/X x", "a", "x"),
    ("/^(?!owner-)(.*)-outgoing@(.*)/ 550 Use ${1}@${2}", "a-outgoing@b", "550 Use a@b"),
    ("/^(?!owner-)(.*)-outgoing@(.*)/ 550 Use ${1}@${2}", "owner-a-outgoing@b", None),
    (r"/\d\w/ x", "1a", "x"),
    (r"/^\w$/ x", "\u00e4", None),
    (r"/\x{61}\x{e4}\x{20ac}\x{1f600}/ x", "a\u00e4\u20ac\U0001f600", "x"),
    (r"/\Q\x{61}.\E/ x", r"\x{61}.", "x"),
    (r"/\\x{3}/ x", r"\xxx", "x"),
    ("/(*LIMIT_MATCH=1000000000)a/ x", "a", "x"),
]
REGEXP = [
    (r"/[\w]x/ x", "\\x", "x"),
    (r"/[a\]x/ x", "\\x", "x"),
    ("/[]a]x/ x", "]x", "x"),
    ("/^[^]a]$/ x", "]", None),
    (r"/\<ab\>/ x", "c ab d", "x"),
    (r"/\<ab\>/ x", "cab", None),
    ("/a)/ x", "a)", "x"),
    ("/a{,2}$/ x", "aa", "x"),
    ("/^a**$/ x", "aa", "x"),
    ("/^a+?$/ x", "", "x"),
    ("/^a{2}{3}$/ x", "a" * 6, "x"),
    ("/^a{2}{3}$/ x", "a" * 5, None),
    ("/a||b/ x", "c", "x"),
    ("/a.b/m x", "a\nb", None),
    ("/a[^x]b/ x", "a\nb", "x"),
    ("/a[^x]b/m x", "a\nb", None),
    ("/^$/m x", "a\n", "x"),
    ("/a$/ x", "a\n", None),
    (r"/(a)\10/ x", "aa0", "x"),
    (r"/\`a\'/ x", "a", "x"),
    ("/[[.a.]][[=b=]]/ x", "ab", "x"),
    ("/[[:digit:]-]x/ x", "-x", "x"),
    (r"/[--\/]/ x", ".", "x"),
    (r"/a\.b\@c/ x", "a.b@c", "x"),
    ("/a#b c/ x", "a#b c", "x"),
    ("/}]/ x", "}]", "x"),
    (r"/^a\(b\)*c$/x $1", "abbc", "b"),
    ("/a+|(b){1}/x x", "a+|(b){1}", "x"),
    ("/*a/x x", "*a", "x"),
    (r"/^\(*a\)/x $1", "*a", "*a"),
    (r"/^a\{2\}$/x x", "aa", "x"),
    (r"/^a\+b\?$/x x", "aa", "x"),
    (r"/a\|b/x x", "b", "x"),
    ("/a^b$c/x x", "a^b$c", "x"),
    (r"/\(^a$\)/x x", "a", "x"),
]


@pytest.mark.parametrize(
    ("kind", "content", "key", "result"),
    [("pcre", *it) for it in BOTH + PCRE] + [("regexp", *it) for it in BOTH + REGEXP],
)
def test_rules(file: Path, kind: str, content: str, key: str, result: str | None) -> None:
    assert table_of(kind, file, f"{content}\n").find(key) == result


WRONG_BOTH = [
    ("/a/", "1:4: expected a result after the pattern"),
    ("# c\n/a", "2:1: expected a second / after the pattern"),
    ("/a\\/ x", "1:1: expected a second / after the pattern"),
    ("a x", "1:1: expected /PATTERN/FLAGS RESULT, if /PATTERN/ or endif"),
    ("if x", "1:4: expected /PATTERN/FLAGS RESULT, if /PATTERN/ or endif"),
    ("! a", "1:3: expected /PATTERN/FLAGS RESULT, if /PATTERN/ or endif"),
    ("!", "1:2: expected /PATTERN/FLAGS RESULT, if /PATTERN/ or endif"),
    ("ifa /x/ y", "1:1: expected /PATTERN/FLAGS RESULT, if /PATTERN/ or endif"),
    ("if /a/ x\nendif", "1:8: expected nothing after the pattern"),
    ("if /a/\n /b/ x\nendif", "2:2: expected nothing after the pattern"),
    ("if /a/\n/b/ x", "1:1: expected an endif for this if"),
    ("/a/ x\nendif", "2:1: expected an if before this endif"),
    ("if /a/\nendif x", "2:7: expected nothing after endif"),
    ("/a/ $1", "1:5: expected the number of a group, got 1: there is none to refer to"),
    ("/(a)/ x$2", "1:8: expected the number of a group, got 2: the pattern has 1"),
    ("/(a)/ $0", "1:7: expected the number of a group, got 0: the pattern has 1"),
    ("/(a)/ $1x", '1:7: expected the number of a group after $, got "1x"'),
    ("/(a)/ ${x}", '1:7: expected the number of a group after $, got "x"'),
    ("/(a)/ ${}", '1:7: expected the number of a group after $, got ""'),
    ("/(a)/ x $", "1:9: expected $NUMBER, ${NUMBER}, $(NUMBER) or $$"),
    ("/(a)/ ${1", "1:7: expected $NUMBER, ${NUMBER}, $(NUMBER) or $$"),
    ("/(a)/\n  x ${1", "2:5: expected $NUMBER, ${NUMBER}, $(NUMBER) or $$"),
    ("!/(a)/ $1", "1:8: expected the number of a group, got 1: there is none to refer to"),
    ("/a/ " + "x" * 50_001, "1:5: expected a result of at most 50000 octets"),
    ("/" + "a" * 16_385 + "/ x", "1:2: expected at most 16384 characters in a pattern"),
    ("/a/ x\n/((((a{1,999}){1,999}){1,999}){1,999})/ x", "2:2: regular expression is too large"),
]
WRONG = [
    ("pcre", "/a/iq x", "1:5: expected flags of imsxAEUX after the pattern, got q"),
    ("pcre", "/a/x! x", "1:5: expected flags of imsxAEUX after the pattern, got !"),
    ("pcre", "/\u00e4(/ x", "1:4: missing closing parenthesis"),
    ("pcre", "/a/ x\n/[z-a]/ x", "2:6: range out of order in character class"),
    ("pcre", "/a\\x{110000}/ x", "1:3: expected a character, got \\x{110000}"),
    ("regexp", "/a/s x", "1:4: expected flags of imx after the pattern, got s"),
    ("regexp", "/(/ x", "1:2: expected a closing parenthesis for this one"),
    ("regexp", "/*a/ x", "1:2: expected something to repeat before *"),
    ("regexp", "/^*a/ x", "1:3: expected something to repeat before *"),
    ("regexp", "/b|+a/ x", "1:4: expected something to repeat before +"),
    ("regexp", "/(?:a)/ x", "1:3: expected something to repeat before ?"),
    ("regexp", "/(*ACCEPT)a/ x", "1:3: expected something to repeat before *"),
    ("regexp", "/a{x/ x", "1:3: expected {N}, {N,}, {,N} or {N,N}"),
    ("regexp", "/a{}/ x", "1:3: expected {N}, {N,}, {,N} or {N,N}"),
    ("regexp", "/a{2,1}/ x", "1:2: numbers out of order in {} quantifier"),
    ("regexp", r"/\d/ x", "1:2: expected no backslash before d, which has no meaning in POSIX"),
    ("regexp", r"/\2(a)/ x", r"1:2: expected a group 2 before \2"),
    ("regexp", r"/(a\1)/ x", r"1:4: expected a group 1 before \1"),
    ("regexp", "/[a/ x", "1:2: expected a closing bracket for this one"),
    ("regexp", "/[]/ x", "1:2: expected a closing bracket for this one"),
    ("regexp", "/[[:alpha]]/ x", "1:3: expected [:CLASS:], [.CHARACTER.] or [=CHARACTER=]"),
    ("regexp", "/[[.space.]]/ x", "1:3: expected [:CLASS:], [.CHARACTER.] or [=CHARACTER=]"),
    ("regexp", "/[[:nothing:]]/ x", "1:2: unknown POSIX class name"),
    ("regexp", "/[a-[:alpha:]]/ x", "1:5: expected a character after -"),
    ("regexp", "/[[:alpha:]-z]/ x", "1:12: expected a character before -, or - at the end"),
    ("regexp", r"/\(a/x x", "1:2: expected a closing parenthesis for this one"),
    ("regexp", r"/a\)/x x", "1:3: expected an opening parenthesis for this one"),
    ("regexp", r"/a\{1/x x", "1:3: expected {N}, {N,}, {,N} or {N,N}"),
]


@pytest.mark.parametrize(
    ("kind", "content", "reason"),
    [(kind, *it) for kind in ("pcre", "regexp") for it in WRONG_BOTH] + WRONG,
)
def test_errors_say_where(file: Path, kind: str, content: str, reason: str) -> None:
    table = table_of(kind, file, content)
    with pytest.raises(TableError) as raised:
        table.find("a")
    assert str(raised.value) == f"{file}:{reason}"


BOMBS = [
    # a pattern, and a key that it would be tried with for longer than the sun burns
    ("(a+)+$", "a" * 200 + "b"),
    ("^(a|a)*$", "a" * 200 + "b"),
    ("^(a|aa)+$", "a" * 1000 + "b"),
    ("(a*)*(b*)*(a*)*c?$", "a" * 500 + "d"),
    ("^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 200 + "1"),
    ("(x+x+)+y", "x" * 200 + "zy"),
    ("^(a?){50}a{50}b", "a" * 90 + "cb"),
]


@pytest.mark.parametrize("kind", ["pcre", "regexp"])
@pytest.mark.parametrize(("pattern", "key"), BOMBS, ids=range(len(BOMBS)))
def test_a_pattern_that_does_not_end_is_a_failure(
    file: Path, kind: str, pattern: str, key: str
) -> None:
    table = table_of(kind, file, f"/^never$/ x\n/{pattern}/ x\n")
    with pytest.raises(TableError, match=r"^.*/t:2: .* limit exceeded: the rule cannot be"):
        table.find(key)


@pytest.mark.timeout(30)  # a matter of a second; unbounded, it would be centuries
@pytest.mark.parametrize(
    "pattern",
    [
        "[ab].{0,180}.{0,180}[cd]$",
        "(a|b){0,200}(a|c){0,200}(a|d){0,200}[ef]",
        "(*LIMIT_MATCH=4000000000)(a+)+$",
        "((a{0,9}){0,9}){0,9}((a{0,9}){0,9}){0,9}[bc]",
        "(?=(a+))(?=(a+)+b)\\1*[bc]",
        "(?<=(a|aa|aaa))(a+)+[bc]",
        "^(a(?1)?a)*$",
    ],
)
def test_whatever_the_pattern_the_longest_key_gets_an_answer(file: Path, pattern: str) -> None:
    table = table_of("pcre", file, f"/{pattern}/ x\n")
    for key in ("a" * 1024, "a" * 1023 + "!", "ab" * 512):
        try:
            assert table.find(key) in {None, "x"}
        except TableError as error:
            reason = str(error)
            assert reason.startswith(f"{file}:1: ")


def test_many_slow_rules_are_bounded_together(file: Path) -> None:
    table = table_of("pcre", file, "/[ab].{0,180}.{0,180}[cd]$/ x\n" * 200)
    with pytest.raises(TableError, match=r"t:\d+: the rules before it take too long for this key"):
        table.find("a" * 1024)


@pytest.mark.parametrize("kind", ["pcre", "regexp"])
def test_an_empty_result_is_a_failure(file: Path, kind: str) -> None:
    table = table_of(kind, file, "/(a)?b/ $1\n")
    assert table.find("ab") == "a"
    with pytest.raises(TableError, match=r"t:1: the result is empty"):
        table.find("b")


def test_a_result_is_bounded(file: Path) -> None:
    table = table_of("pcre", file, f"/(.*)/ {'$1,' * 60}\n")
    assert table.find("a" * 700) == f"{'a' * 700}," * 60
    with pytest.raises(TableError, match=r"t:1: the result has more than 50000 octets"):
        table.find("a" * 1000)


@pytest.mark.parametrize("kind", ["pcre", "regexp"])
class TestOddKeys:
    def test_of_a_million_characters(self, file: Path, kind: str) -> None:
        with pytest.raises(TableError, match="expected a key of at most 1024 characters"):
            table_of(kind, file, "/a/ x\n").find("a" * 1_000_000)

    def test_with_a_nul(self, file: Path, kind: str) -> None:
        assert table_of(kind, file, "/^a.b$/ x\n").find("a\0b") == "x"

    def test_that_are_no_text(self, file: Path, kind: str) -> None:
        with pytest.raises(TableError, match=r"t:1: the key is no text"):
            table_of(kind, file, "/a/ x\n").find("a\ud800")


@pytest.mark.parametrize("kind", ["pcre", "regexp"])
def test_only_whole_addresses_are_keys(file: Path, kind: str) -> None:
    assert not table_of(kind, file, "/a/ x\n").takes_parts


@pytest.mark.parametrize("kind", ["pcre", "regexp"])
def test_read_again_when_it_was_replaced(file: Path, kind: str) -> None:
    table = table_of(kind, file, "/a/ x\n")
    before = table.identity()
    assert table.find("a") == "x"
    file.write_text("/(/ x\n")
    with pytest.raises(TableError, match=r"t:1:"):
        table.find("a")
    file.write_text("/a/ changed\n")
    assert table.find("a") == "changed"
    assert table.identity() != before


@given(st.sampled_from(["pcre", "regexp"]), st.text("a(b)[c]{1,}*+?|^$.\\-:=/ix !\n", max_size=25))
def test_any_pattern_is_one_or_has_a_place(kind: str, pattern: str) -> None:
    try:
        name = parse(f"{kind}:{{{{/{pattern}/ x}}}}")
    except ValueError:
        return  # the braces are not balanced
    table = open_table(name)
    for key in ("", "a", "abc", "a" * 30):
        try:
            assert table.find(key) in {None, "x"}
        except TableError as error:
            assert str(error).startswith(f"{kind}:{{...}}:")  # noqa: PT017 - either will do


_SANDBOXED = """
import sys
from mta.config.parameters import Parameters
from mta.lookup.open import open_table
from mta.lookup.syntax import parse
from mta.master.sandbox import Needs, enter_sandbox
from mta.util.log import Log
folder = sys.argv[1]
table = open_table(parse(f"pcre:{folder}/t"))
parameters = Parameters(myhostname="mail.example.org", queue_directory=folder)
enter_sandbox(Needs(read=(folder,)), parameters, 10, Log(2, "test", "test", 0))
assert "pcre2" not in sys.modules
print(table.find("a"))
"""


def test_the_library_is_left_alone_until_there_is_a_pattern_in_a_sandbox_too(file: Path) -> None:
    file.write_text("/a/ x\n")
    done = subprocess.run(
        [sys.executable, "-c", _SANDBOXED, file.parent],
        check=True,
        timeout=60,
        env=os.environ,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert done.stdout == "x\n"
