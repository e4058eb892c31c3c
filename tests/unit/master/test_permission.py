"""Who may ask a daemon for something: by uid, and by name only where that matters."""

import asyncio
import os
import pwd
from unittest import mock

from support.users import STRANGER

from mta.master import host_users
from mta.master.permission import Permission
from mta.proto.status import MailError


def answer(*patterns: str, uid: int, always: set[int] | None = None) -> str:
    """What a user is told; empty: he may."""

    async def scenario() -> str:
        loop = asyncio.get_running_loop()
        permission = Permission(patterns, "do so", loop, 20.0, always=always or set())
        try:
            await permission.check(uid)
        except MailError as error:
            return str(error.status)
        finally:
            permission.close()
        return ""

    return asyncio.run(scenario())


def test_by_name() -> None:
    own = pwd.getpwuid(os.geteuid())
    assert answer(own.pw_name, uid=own.pw_uid) == ""
    assert answer(f"!{own.pw_name}", "static:all", uid=own.pw_uid) == (
        f"550 5.7.1 User {own.pw_name}({own.pw_uid}) is not allowed to do so"
    )


def test_who_has_no_name_is_called_unknown() -> None:
    told = f"550 5.7.1 User unknown({STRANGER}) is not allowed to do so"
    assert answer("ann", uid=int(STRANGER)) == told
    assert answer("unknown", uid=int(STRANGER)) == ""
    assert answer("ann", uid=int(STRANGER), always={int(STRANGER)}) == ""


def test_nobody_is_asked_where_no_name_matters() -> None:
    """A directory server that is away must not keep mail from anybody."""
    with mock.patch.object(host_users, "account_by_uid", side_effect=OSError("away")):
        assert answer("static:anyone", uid=int(STRANGER)) == ""
        assert answer("ann", uid=int(STRANGER)) == "451 4.3.0 user lookup error"
