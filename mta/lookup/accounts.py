"""unix: the users of this host, for who asks whether a recipient exists (local_recipient_maps)."""

from mta.lookup.table import TableError
from mta.util.accounts import account_by_name

__all__ = ["AccountTable"]

_IDENTITY = 1  # always: nobody can say whether a directory server has changed


class AccountTable:
    """The table `unix:passwd.byname`: a user's name, in whatever case, to his entry."""

    @property
    def takes_parts(self) -> bool:
        """A user is a part of his address."""
        return True

    def find(self, key: str) -> str | None:
        """The entry in the form of passwd(5), or None; TableError if that cannot be known."""
        try:
            found = account_by_name(key.lower())
        except OSError as error:
            raise TableError(f"unix:passwd.byname: {error.strerror}") from error
        if found is None:
            return None
        return f"{found.name}:x:{found.uid}:{found.gid}::{found.home}:{found.shell}"

    def identity(self) -> int:
        """Always the same number."""
        return _IDENTITY
