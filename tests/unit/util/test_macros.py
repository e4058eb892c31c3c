"""Macros: every form, and what is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.util.macros import Macros

VALUES = {"a": "1", "b_c": "$a"}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("", ""),
        ("plain", "plain"),
        ("$a", "1"),
        ("${a}b", "1b"),
        ("$(a)b", "1b"),
        ("x$a-$b_c.", "x1-$a."),
        ("$$a", "$a"),
        ("$$$a", "$1"),
        ("a b {c} (d)", "a b {c} (d)"),
    ],
)
def test_expansion(text: str, expanded: str) -> None:
    assert Macros.parse(text).expand(VALUES) == expanded


@pytest.mark.parametrize("text", ["$", "a$", "$ a", "${a", "${}", "$(a}", "$1", "$-a"])
def test_a_dollar_sign_that_begins_nothing(text: str) -> None:
    with pytest.raises(ValueError, match="a macro at"):
        Macros.parse(text)


@given(st.text())
def test_any_text_can_be_said(text: str) -> None:
    macros = Macros.parse(text.replace("$", "$$"))
    assert macros.expand({}) == text
    assert macros.names == frozenset()
    assert not macros.begins_with_macro
