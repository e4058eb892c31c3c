"""A list of users as Postfix has it in authorized_mailq_users: the first pattern that fits decides.

    NAME             that user
    !NAME            not that user
    static:anyone    everybody; whatever is behind the colon
    !static:all      nobody else

Who fits none is not on the list; nor is anybody on an empty one. A user whom the host does not know
is called "unknown".
"""

from collections.abc import Sequence
from typing import Final

__all__ = ["UNKNOWN", "UserList"]

UNKNOWN: Final = "unknown"
_EVERYBODY: Final = "static:"
_NOT: Final = "!"


class UserList:
    """The users that the patterns name."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = [(each.removeprefix(_NOT), each.startswith(_NOT)) for each in patterns]

    @property
    def regardless(self) -> bool | None:
        """What holds for every user, whatever his name; None if that matters."""
        if not self._patterns:
            return False
        pattern, excluded = self._patterns[0]
        return not excluded if pattern.startswith(_EVERYBODY) else None

    def admits(self, name: str) -> bool:
        """Whether that user is on the list."""
        for pattern, excluded in self._patterns:
            if pattern == name or pattern.startswith(_EVERYBODY):
                return not excluded
        return False
