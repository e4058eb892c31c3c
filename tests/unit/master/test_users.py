"""Whose connections the daemons' own sockets take."""

import os
import pwd

import pytest

from mta.config.snapshot import Service
from mta.master.users import house_users


def _row(user: str) -> Service:
    return Service(name="row", daemon="rewrite", listen=(), user=user)


def test_root_and_ourselves_are_always_at_home() -> None:
    assert house_users([]) == {0, os.geteuid()}
    assert house_users([_row("")]) == {0, os.geteuid()}


def test_the_users_of_all_rows_are_at_home() -> None:
    assert house_users([_row("nobody"), _row("")]) >= {pwd.getpwnam("nobody").pw_uid}


def test_a_user_that_the_host_lacks_is_named() -> None:
    with pytest.raises(KeyError, match="no-such-user"):
        house_users([_row("no-such-user")])
