"""The users of this host, asked in threads: a directory server may take its time, or not answer."""

import asyncio
from collections.abc import Callable
from typing import Final

from mta.proto.status import temporary
from mta.util.accounts import Account, account_by_name, account_by_uid
from mta.util.threads import WorkerPool

__all__ = ["Users"]

_THREADS: Final = 8  # questions at a time; those that nobody answers keep theirs


class Users:
    """The user database; `timeout` is seconds for one question."""

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout: float) -> None:
        self._loop = loop
        self._timeout = timeout
        self._threads = WorkerPool(_THREADS, "users")

    async def by_name(self, name: str) -> Account | None:
        """The user of that name; MailError 451 if that cannot be known."""
        return await self._ask(lambda: account_by_name(name), name)

    async def by_uid(self, uid: int) -> Account | None:
        """A user with that number; MailError 451 if that cannot be known."""
        return await self._ask(lambda: account_by_uid(uid), f"uid {uid}")

    def close(self) -> None:
        """Begin nothing more."""
        self._threads.shutdown(wait=False)

    async def _ask(self, question: Callable[[], Account | None], whom: str) -> Account | None:
        try:
            asking = self._loop.run_in_executor(self._threads, question)
            async with asyncio.timeout(self._timeout):
                return await asking
        except TimeoutError:
            reason = f"{whom}: no answer within {self._timeout:g} s"
            temporary("4.3.0", "user lookup error", reason)
        except (OSError, RuntimeError) as error:
            temporary("4.3.0", "user lookup error", f"{whom}: {error}")
