"""The user database, as it answers, fails, and falls silent."""

import asyncio
import os
import pwd
import threading
from collections.abc import Callable
from unittest import mock

import pytest

from mta.master import host_users
from mta.master.host_users import Users
from mta.proto.status import MailError
from mta.util.accounts import Account


def asked(question: Callable[[Users], object], timeout: float = 20.0) -> Account | None:
    """What a question brings."""

    async def scenario() -> Account | None:
        made = Users(asyncio.get_running_loop(), timeout)
        try:
            found = await question(made)  # type: ignore[misc]
            assert found is None or isinstance(found, Account)
            return found
        finally:
            made.close()

    return asyncio.run(scenario())


def test_a_user_by_his_name_and_by_his_number() -> None:
    own = pwd.getpwuid(os.geteuid())
    by_name = asked(lambda it: it.by_name(own.pw_name))
    assert by_name == Account(own.pw_name, own.pw_uid, own.pw_gid, own.pw_dir, own.pw_shell)
    by_uid = asked(lambda it: it.by_uid(own.pw_uid))
    assert by_uid is not None
    assert by_uid.uid == own.pw_uid


@pytest.mark.parametrize("name", ["no-such-user-here", "", "a/b", "-x", "a" * 33])
def test_who_is_nobody(name: str) -> None:
    assert asked(lambda it: it.by_name(name)) is None


def test_a_database_that_fails_is_no_missing_user() -> None:
    failing = mock.Mock(side_effect=OSError("the server is away"))
    with (
        mock.patch.object(host_users, "account_by_name", failing),
        pytest.raises(MailError) as raised,
    ):
        asked(lambda it: it.by_name("ann"))
    assert str(raised.value) == "451 4.3.0 user lookup error: ann: the server is away"


def test_a_database_that_is_silent_is_given_up() -> None:
    awake = threading.Event()
    waiting = mock.Mock(side_effect=lambda _: awake.wait() and None)
    with (
        mock.patch.object(host_users, "account_by_name", waiting),
        pytest.raises(MailError) as raised,
    ):
        asked(lambda it: it.by_name("ann"), timeout=0.01)
    awake.set()
    assert str(raised.value) == "451 4.3.0 user lookup error: ann: no answer within 0.01 s"
