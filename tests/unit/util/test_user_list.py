"""Lists of users mean what Postfix's mean."""

import pytest

from mta.util.user_list import UserList


@pytest.mark.parametrize(
    ("patterns", "admitted", "kept_out"),
    [
        (["static:anyone"], ["ann", "bob", "unknown"], []),
        ([], [], ["ann", "root", "unknown"]),
        (["ann", "bob"], ["ann", "bob"], ["carol", "unknown", "static:anyone"]),
        (["!ann", "static:all"], ["bob", "unknown"], ["ann"]),
        (["ann", "!static:all", "bob"], ["ann"], ["bob"]),
        (["static:anyone", "!ann"], ["ann"], []),  # the first that fits decides
        (["unknown"], ["unknown"], ["ann"]),
        (["!ann"], [], ["ann", "bob"]),
    ],
)
def test_who_is_on_a_list(patterns: list[str], admitted: list[str], kept_out: list[str]) -> None:
    users = UserList(patterns)
    assert [name for name in admitted if not users.admits(name)] == []
    assert [name for name in kept_out if users.admits(name)] == []


@pytest.mark.parametrize(
    ("patterns", "regardless"),
    [
        (["static:anyone"], True),
        (["!static:anyone"], False),
        ([], False),
        (["ann", "static:anyone"], None),
        (["!ann"], None),
    ],
)
def test_where_no_name_matters(patterns: list[str], regardless: bool | None) -> None:
    assert UserList(patterns).regardless is regardless
