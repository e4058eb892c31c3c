"""Who of the host's users may ask a daemon for something: by the kernel's word and a list of users.

The user database is asked only where the answer depends on a name. What it cannot say is a
temporary failure, and no refusal.
"""

import asyncio
from collections.abc import Collection, Sequence

from mta.master.host_users import Users
from mta.proto.status import permanent
from mta.util.user_list import UNKNOWN, UserList

__all__ = ["Permission"]


class Permission:
    """One parameter's list; `act` is what one may then do, as in "view the mail queue"."""

    def __init__(
        self,
        patterns: Sequence[str],
        act: str,
        loop: asyncio.AbstractEventLoop,
        timeout: float,
        *,
        always: Collection[int] = (),
    ) -> None:
        """`timeout` is seconds for the user database; the uids in `always` are on any list."""
        self._list = UserList(patterns)
        self._act = act
        self._always = frozenset(always)
        self._users = Users(loop, timeout)

    async def check(self, uid: int) -> None:
        """MailError 550 5.7.1 if the user is not permitted to, 451 if that cannot be known."""
        if uid in self._always or self._list.regardless:
            return
        account = await self._users.by_uid(uid)
        name = account.name if account is not None else UNKNOWN
        if not self._list.admits(name):
            permanent("5.7.1", f"User {name}({uid}) is not allowed to {self._act}")

    def close(self) -> None:
        """Ask nobody any more."""
        self._users.close()
