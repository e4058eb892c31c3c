"""Lines of a message as it streams by: how they begin, and how the last one ends.

The law: however the message is divided into pieces, the result is the same. Lines end in LF.
"""

from collections.abc import Iterable, Iterator

__all__ = ["ended", "quoted"]


def quoted(pieces: Iterable[bytes], start: bytes, mark: bytes) -> Iterator[bytes]:
    """Put `mark` before each line that begins with `start`."""
    sought, replacement = b"\n" + start, b"\n" + mark + start
    held, skip = b"\n", 1  # the message begins a line
    for piece in pieces:
        data = (held + piece).replace(sought, replacement)
        kept = next(n for n in range(len(sought) - 1, -1, -1) if data.endswith(sought[:n]))
        held = data[len(data) - kept :]
        if kept < len(data):
            ready, skip = data[skip : len(data) - kept], 0
            yield ready
    yield held[skip:]


def ended(pieces: Iterable[bytes], after: bytes = b"") -> Iterator[bytes]:
    """End the last line if it has no end, and put `after` behind it."""
    last = b"\n"
    for piece in pieces:
        last = piece[-1:] or last
        yield piece
    yield after if last == b"\n" else b"\n" + after
