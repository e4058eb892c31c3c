"""Names of tables: what they are taken for, and what is said of those that are wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.lookup.syntax import Pair, TableName, parse

STATIC = TableName("static:x", "static", "x")
TEXT = TableName("texthash:/t", "texthash", "/t")


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("cdb:/etc/postfix/virtual", {"argument": "/etc/postfix/virtual"}),
        ("texthash:/a b,c", {"argument": "/a b,c"}),
        ("sqlite:/etc/x.cf", {"argument": "/etc/x.cf"}),
        ("cidr:/c", {"argument": "/c"}),
        ("pcre:/p", {"argument": "/p"}),
        ("pcre:{ {/^a, b$/ x}, {/{2}/ y} }", {"rules": ("/^a, b$/ x", "/{2}/ y")}),
        ("regexp:{{/a/ b}}", {"rules": ("/a/ b",)}),
        ("cidr:{{192.0.2.0/24 OK}}", {"rules": ("192.0.2.0/24 OK",)}),
        ("socketmap:unix:/run/map:name", {"argument": "unix:/run/map:name"}),
        ("static:x y", {"argument": "x y"}),
        ("static: x ", {"argument": " x "}),
        ("static:{ x y }", {"argument": "x y"}),
        ("static:{ {x} }", {"argument": "{x}"}),
        ("inline:{a=b}", {"pairs": (Pair("a", "b"),)}),
        ("inline:{ a=b, c=d\te=f }", {"pairs": (Pair("a", "b"), Pair("c", "d"), Pair("e", "f"))}),
        ("inline:{{ a = b c, d }}", {"pairs": (Pair("a", "b c, d"),)}),
        ('inline:{{"a b" = x}}', {"pairs": (Pair('"a b"', "x"),)}),
        ('inline:{{"a=b"=c}}', {"pairs": (Pair('"a=b"', "c"),)}),
        (r"inline:{{a\ b=x}}", {"pairs": (Pair(r"a\ b", "x"),)}),
        ("inline:{a==c}", {"pairs": (Pair("a", "=c"),)}),
        ("inline:{a={b c}}", {"pairs": (Pair("a", "{b c}"),)}),
        ("inline:{ {a=b{c}d} }", {"pairs": (Pair("a", "b{c}d"),)}),
        ("unionmap:{static:x,texthash:/t}", {"tables": (STATIC, TEXT)}),
        ("pipemap:{ texthash:/t static:x }", {"tables": (TEXT, STATIC)}),
    ],
)
def test_names(text: str, fields: dict[str, object]) -> None:
    name = parse(text)
    assert (name.text, name.kind, str(name)) == (text, text.partition(":")[0], text)
    got = {
        "argument": name.argument,
        "pairs": name.pairs,
        "rules": name.rules,
        "tables": name.tables,
    }
    assert {field: value for field, value in got.items() if value} == fields


KINDS = (
    "aliases, cdb, cidr, inline, pcre, pipemap, regexp, socketmap, sqlite, static, texthash, "
    "unionmap, unix"
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", f"1: expected TYPE:NAME with a type of {KINDS}, got nothing"),
        ("/etc/aliases", f'1: expected TYPE:NAME with a type of {KINDS}, got "/etc/aliases"'),
        ("hash:/etc/aliases", f'1: expected TYPE:NAME with a type of {KINDS}, got "hash"'),
        ("Static:x", f'1: expected TYPE:NAME with a type of {KINDS}, got "Static:x"'),
        ("cdb:", "5: expected a name after cdb:, got nothing"),
        ("cdb:virtual", '5: expected an absolute path, got "virtual"'),
        ("cdb:/a\0b", "7: expected text, got a NUL"),
        ("static:{}", "9: expected a value, got nothing"),
        ("static:{x}y", '11: expected nothing after the closing brace, got "y"'),
        ("static:{x", "8: expected a closing brace for the one here, got none"),
        ("inline:a=b", '8: expected {KEY=VALUE, ...}, got "a=b"'),
        ("inline:{}", "9: expected KEY=VALUE, got nothing"),
        ("inline:{a}", "10: expected = after the key, got nothing"),
        ("inline:{a =b}", "10: expected = after the key, got nothing"),
        ("inline:{{a b}}", '12: expected = after the key, got "b"'),
        ("inline:{=b}", '9: expected KEY=VALUE, got "=b"'),
        ("inline:{a=}", "11: expected a value, got nothing"),
        ("inline:{a=b a=c}", '13: expected each key once, got "a" again'),
        ("inline:{ {a=b}c=d }", '15: expected nothing after the closing brace, got "c=d"'),
        ("inline:{a=b} ", '13: expected nothing after the closing brace, got " "'),
        ("pcre:{/a/ b}", '7: expected {RULE}, got "/a/"'),
        ("unionmap:static:x", '10: expected {TYPE:NAME, ...}, got "static:x"'),
        ("unix:group.byname", '6: expected passwd.byname, got "group.byname"'),
        ("aliases:etc", '9: expected an absolute path, got "etc"'),
        ("unionmap:{}", "11: expected TYPE:NAME, got nothing"),
        ("unionmap:{static:x,cdb:y}", '24: expected an absolute path, got "y"'),
        (
            "unionmap:{" * 9 + "static:x" + "}" * 9,
            "91: expected at most 8 tables in one another, got one more",
        ),
    ],
)
def test_errors_say_where_and_what(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match="at character") as raised:
        parse(text)
    assert str(raised.value) == f"at character {reason}"


def test_leaves_and_what_they_are() -> None:
    name = parse("unionmap:{pipemap:{texthash:/t,static:x},sqlite:/s}")
    assert [str(it) for it in name.leaves()] == ["texthash:/t", "static:x", "sqlite:/s"]
    assert [it.path for it in name.leaves()] == ["/t", None, "/s"]
    assert [it.blocking for it in (name, name.tables[0])] == [True, False]


texts = st.one_of(st.text(max_size=40), st.text('aistcnle:{}=, \\"/', max_size=40))


@given(st.sampled_from(["", "inline:{", "unionmap:{", "static:{", "pcre:{", "cdb:/"]), texts)
def test_any_text_is_a_name_or_a_clear_error(start: str, text: str) -> None:
    reason = ""
    try:
        name = parse(start + text)
    except ValueError as error:
        reason = str(error)
    else:
        assert name.text == start + text
    assert not reason or reason.startswith("at character ")


keys = st.text("abc@.{}%", min_size=1, max_size=10).filter(
    lambda it: it.count("{") == 0 == it.count("}")
)
values = st.text('ab,= {}"\\', min_size=1, max_size=10).filter(
    lambda it: it == it.strip() and _balanced(it)
)


def _balanced(text: str) -> bool:
    depth = 0
    for character in text:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth < 0:
            return False
    return depth == 0


@given(st.dictionaries(keys, values, min_size=1, max_size=5))
def test_what_is_written_inline_is_found(pairs: dict[str, str]) -> None:
    text = f"inline:{{{', '.join(f'{{{key} = {value}}}' for key, value in pairs.items())}}}"
    assert {it.key: it.value for it in parse(text).pairs} == pairs
