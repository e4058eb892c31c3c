"""What aliases and .forward files lead to: each form, and any text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.proto.aliases import Target, TargetKind, parse_lines, parse_targets

ADDRESS, MAILBOX, COMMAND, FILE, INCLUDE = TargetKind


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bob", [(ADDRESS, "bob")]),
        (
            "bob, ann@example.org ,\tjoe",
            [(ADDRESS, it) for it in ("bob", "ann@example.org", "joe")],
        ),
        ("<bob@example.org>", [(ADDRESS, "bob@example.org")]),
        ("Bob Smith <bob@example.org>, ann", [(ADDRESS, "bob@example.org"), (ADDRESS, "ann")]),
        ('"Smith, Bob" <bob@example.org>', [(ADDRESS, "bob@example.org")]),
        ("bob (the one, and only (ever))", [(ADDRESS, "bob")]),
        (r"bob (a \) parenthesis), ann", [(ADDRESS, "bob"), (ADDRESS, "ann")]),
        ('"john doe"@example.org', [(ADDRESS, '"john doe"@example.org')]),
        ('"a,b"@example.org', [(ADDRESS, '"a,b"@example.org')]),
        (r"\bob", [(MAILBOX, "bob")]),
        (r"\bob, ann@example.org", [(MAILBOX, "bob"), (ADDRESS, "ann@example.org")]),
        ("|/bin/cat", [(COMMAND, "/bin/cat")]),
        ('"|/usr/bin/vacation -a x, y bob"', [(COMMAND, "/usr/bin/vacation -a x, y bob")]),
        ('|"exec /usr/bin/procmail"', [(COMMAND, "exec /usr/bin/procmail")]),
        (r'"|sh -c \"a\\b\""', [(COMMAND, r'sh -c "a\b"')]),
        ('"|(echo a)", b', [(COMMAND, "(echo a)"), (ADDRESS, "b")]),
        ("|/bin/x (not a comment)", [(COMMAND, "/bin/x (not a comment)")]),
        ("/var/mail/list", [(FILE, "/var/mail/list")]),
        ('"/var/mail/my list/"', [(FILE, "/var/mail/my list/")]),
        (":include:/etc/list", [(INCLUDE, "/etc/list")]),
        ('":INCLUDE: /etc/my list"', [(INCLUDE, "/etc/my list")]),
        ("", []),
        (" , ,, ", []),
        ("(nobody)", []),
        ("<>, bob", [(ADDRESS, "<>"), (ADDRESS, "bob")]),
        ('"unended, bob', [(ADDRESS, '"unended, bob')]),
        ("bob (unended, ann", [(ADDRESS, "bob")]),
    ],
)
def test_a_value(text: str, expected: list[tuple[TargetKind, str]]) -> None:
    assert [(it.kind, it.text) for it in parse_targets(text)] == expected


def test_a_file_has_comments_and_lines() -> None:
    content = b"# all of them\nbob\n\n  ann, joe # no comment\r\n#end"
    assert [it.text for it in parse_lines(content)] == ["bob", "ann", "joe # no comment"]


def test_a_file_that_is_no_text_names_nobody() -> None:
    (target,) = parse_lines(b"b\xffb\n")
    assert target.kind is ADDRESS
    assert "\ufffd" in target.text


paths = st.text(
    st.characters(codec="ascii", categories=("L", "N", "P", "S", "Zs")), max_size=20
).map(str.strip)
targets = st.one_of(
    st.builds(Target, st.just(COMMAND), paths),
    st.builds(Target, st.just(FILE), paths.map(lambda it: f"/{it}")),
    st.builds(Target, st.just(INCLUDE), paths),
    st.builds(Target, st.just(MAILBOX), st.from_regex(r"\A[a-z]{1,8}\Z")),
    st.builds(Target, st.just(ADDRESS), st.from_regex(r"\A[a-z+]{1,8}(@[a-z.]{1,8})?\Z")),
    st.just(Target(ADDRESS, '"a, (b) \\"c"@example.org')),
)


@given(st.lists(targets))
def test_what_is_written_is_read_again(written: list[Target]) -> None:
    assert parse_targets(", ".join(map(str, written))) == tuple(written)


@given(st.one_of(st.text(max_size=60), st.text('ab"\\,|/:(<>) \n@', max_size=60)))
def test_any_text_has_targets_that_mean_something(text: str) -> None:
    for target in parse_targets(text):
        assert target.text or target.kind is not ADDRESS
        assert parse_targets(str(target))[:1] in ((target,), ()) or target.kind in (
            ADDRESS,
            MAILBOX,
        )


@given(st.binary(max_size=100))
def test_any_file_can_be_read(content: bytes) -> None:
    parse_lines(content)
