"""A mailbox as its owner finds it."""

from dataclasses import dataclass
from pathlib import Path

from support.waiting import wait_until

__all__ = ["Delivered", "Maildir"]


@dataclass(frozen=True)
class Delivered:
    """One message file: the fields that delivery put before it, and what follows."""

    path: Path

    @property
    def octets(self) -> bytes:
        return self.path.read_bytes()

    @property
    def header(self) -> bytes:
        return self.octets.partition(b"\n\n")[0]

    def fields(self, name: str) -> list[str]:
        """The values of all header fields of that name, unfolded, from the top."""
        unfolded = self.header.replace(b"\n ", b" ").replace(b"\n\t", b" ")
        pairs = (line.partition(b":") for line in unfolded.split(b"\n"))
        wanted = name.lower().encode()
        return [value.strip().decode() for key, _, value in pairs if key.lower() == wanted]


@dataclass(frozen=True)
class Maildir:
    """The Maildir of one user."""

    path: Path

    def messages(self) -> list[Delivered]:
        """What lies in new/, oldest name first."""
        return [Delivered(path) for path in sorted(self.path.glob("new/*"))]

    def wait(self, count: int = 1, timeout: float = 10.0) -> list[Delivered]:
        """Wait until `count` messages are there, and insist on no more than that."""

        def look() -> list[Delivered]:
            found = self.messages()
            return found if len(found) >= count else []

        found = wait_until(look, f"{count} message(s) in {self.path}", timeout)
        assert len(found) == count, f"expected {count} message(s), found {len(found)}"
        return found

    def only(self, timeout: float = 10.0) -> Delivered:
        """Wait for the one message that must be there."""
        return self.wait(1, timeout)[0]
