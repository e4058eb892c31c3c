"""A message as programs write it, in the form that the house has it: lines that end in CRLF.

A line ends in LF or CRLF; the last one need not. Lines before the message that begin with "From "
or ">From " are an mbox's, and left out. Without -i a line "." ends the message, wherever the input
ends. Nothing else changes. At no time more is kept than one piece of input and one such line.
"""

import re
from typing import Final

__all__ = ["LineReader"]

_CRLF: Final = b"\r\n"
_SEPARATOR: Final = re.compile(rb">?from ", re.IGNORECASE)
_SEPARATOR_LENGTH: Final = len(b">From ")


class LineReader:
    """Octets in, octets out; `ended` once a line "." was met."""

    def __init__(self, *, dot_ends: bool) -> None:
        self.ended = False
        self._dot_ends = dot_ends
        self._held = b""  # what cannot be judged before more is known
        self._at_start = True  # of a line, with what comes next
        self._before = True  # the message's first line is yet to come
        self._skipping = False  # within a line that is left out

    def feed(self, data: bytes) -> bytes:
        """Take the next piece; nothing after the end."""
        if self.ended:
            return b""
        text = (self._held + data).replace(_CRLF, b"\n")
        self._held = b""
        if self._before:
            text = self._without_separators(text)
        if text.endswith(b"\r"):
            text, self._held = text[:-1], b"\r"
        if self._dot_ends and not self._before:
            text = self._up_to_dot(text)
        if text:
            self._at_start = text.endswith(b"\n")
        return text.replace(b"\n", _CRLF)

    def end(self) -> bytes:
        """The input is over: what was held, and the line end that the last line may lack."""
        if self.ended or self._skipping:
            return b""
        rest, self._held = self._held, b""
        if not rest:
            return b"" if self._at_start else _CRLF
        return rest.removesuffix(b"\r") + _CRLF

    def _without_separators(self, text: bytes) -> bytes:
        while self._before:
            if self._skipping or _SEPARATOR.match(text):
                _, newline, text = text.partition(b"\n")
                self._skipping = not newline
                if self._skipping:
                    return b""
            elif len(text) < _SEPARATOR_LENGTH and b"\n" not in text:
                self._held = text
                return b""
            else:
                self._before = False
        return text

    def _up_to_dot(self, text: bytes) -> bytes:
        """What comes before a line "."; what may become one is held."""
        whole = text if not self._at_start else b"\n" + text
        at = whole.find(b"\n.\n")
        if at >= 0:
            self.ended = True
            self._held = b""
            whole = whole[: at + 1]
        elif whole.endswith(b"\n."):
            whole, self._held = whole[:-1], b"." + self._held
        return whole if not self._at_start else whole[1:]
