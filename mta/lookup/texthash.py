"""texthash: a source as it is, read into memory: for tables that are small, and often changed."""

from typing import BinaryIO, Final

from mta.lookup.files import SourceFile
from mta.lookup.fold import fold
from mta.lookup.source import read_source

__all__ = ["SIZE_LIMIT", "TextTable"]

SIZE_LIMIT: Final = 16 << 20  # octets of the source


class TextTable:
    """The table `texthash:PATH`; of entries with one key, the first counts, as with postmap(1).

    Not for several threads at once.
    """

    def __init__(self, path: str) -> None:
        self._file = SourceFile(f"texthash:{path}", path, SIZE_LIMIT, _read)

    @property
    def takes_parts(self) -> bool:
        """Parts of an address are keys."""
        return True

    def find(self, key: str) -> str | None:
        """The value of the key in whatever case; TableError if that cannot be known."""
        return self._file.content().get(fold(key))

    def identity(self) -> int:
        """A number that is another one once the file was replaced or changed."""
        return self._file.identity()


def _read(stream: BinaryIO, path: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for entry in read_source(stream, path):
        values.setdefault(entry.key, entry.value)
    return values
