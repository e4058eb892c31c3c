r"""The addresses in the fields of a header section, and where they stand (RFC 5322, 3.4 and 4.4).

    address-list  = (address *("," address)) / obs-addr-list
    address       = mailbox / group
    mailbox       = [phrase] "<" [route ":"] addr-spec ">" / addr-spec
    group         = phrase ":" [mailbox-list] ";"

The law: an address can be replaced while every other octet stays what it is: display names,
comments, encoded words and folding. So what is found is spans of octets. Of a malformed field, what
is sound is found, and what is not is left alone: an element that is none, up to the next comma;
everything behind a quote, comment or literal that is not closed.

    a <b@c>, d@e (f), g: h, <@i:j@k>;       b@c  d@e  h  @i:j@k

An address may lack its domain, which somebody is going to complete. Work is linear in the octets.
Deviations: a local part is held against RFC 5321, so that dots in a row are no address; addresses
behind the first `TOKENS_LIMIT` tokens of a field are not found, as in Postfix.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct

from mta.proto import address

__all__ = ["TOKENS_LIMIT", "AddressSpan", "find_addresses", "fold", "replace_addresses"]

TOKENS_LIMIT: Final = 10_240  # of one field: Postfix's header_address_token_limit
_NESTING_LIMIT: Final = 50  # comments within comments
_LINE_LIMIT: Final = 998  # octets of a line without its CRLF (RFC 5322, 2.1.1)

# FWS, atoms of any character that is not special (4.1: obs-phrase; RFC 6532: UTF-8), quoted-string,
# domain-literal, and the specials that the grammar knows by themselves. What begins a comment, or
# has no end, matches nothing but the last group.
_TOKEN: Final = re.compile(
    rb"(?P<space>[ \t\r\n]++)"
    rb"|(?P<atom>[^\x00-\x20()<>\[\]:;@\\,.\"\x7f]++)"
    rb'|(?P<quoted>"(?:[^"\\\x00\x7f]|\\[^\x00\r\n])*+")'
    rb"|(?P<literal>\[[^\[\]\\\x00\x7f]*+\])"
    rb"|(?P<special>[<>:;@,.])"
    rb"|(?P<other>.)",
    re.DOTALL,
)
_IN_COMMENT: Final = re.compile(rb"[^()\\]++|\\.|[()]", re.DOTALL)
_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)
_FOLD: Final = re.compile(r"\r\n(?=[ \t])")
_WHITE: Final = re.compile(r"[ \t\r\n]+")
_CRLF: Final = b"\r\n"


class AddressSpan(Struct, frozen=True):
    """An address in its canonical form, and the octets of the field that it stands in."""

    start: int
    end: int
    address: str


class _Token(Struct, frozen=True):
    """One token; `kind` is a special itself, or a group's name."""

    kind: str
    start: int
    end: int


def find_addresses(value: bytes) -> Iterator[AddressSpan]:
    """The addresses of a field's value, folded as it is, in their order."""
    element: list[_Token] = []
    angle = False  # within "<" and ">", where a comma is one of a route
    for count, token in enumerate(_tokens(value)):
        if token.kind == "other" or count >= TOKENS_LIMIT:
            return
        if token.kind in (",", ";") and not (angle and _is_route(element)):
            yield from _mailbox(value, element)
            element, angle = [], False
        elif token.kind == ":" and not angle:
            element = []  # the name of a group
        elif token.kind not in ("space", "comment"):
            angle = token.kind == "<" or (angle and token.kind != ">")
            element.append(token)
    yield from _mailbox(value, element)


def replace_addresses(value: bytes, replacements: Mapping[str, str]) -> bytes:
    """The value with addresses replaced; the keys are `AddressSpan.address`."""
    pieces = []
    end = 0
    for span in find_addresses(value):
        new = replacements.get(span.address, span.address)
        if new != span.address:
            pieces += [value[end : span.start], new.encode()]
            end = span.end
    pieces.append(value[end:])
    return b"".join(pieces)


def fold(field: bytes) -> bytes:
    """The field, name and CRLF included, with the fold that lines of more than 998 octets need.

    Lines are broken before white space and behind commas, never within a token: a longer one stays.
    """
    if max(map(len, field.split(_CRLF))) <= _LINE_LIMIT:
        return field
    colon = field.index(b":") + 1
    pieces = [field[:colon]]
    line = colon  # octets of the line so far
    # What cannot be broken: tokens up to the next place for a fold.
    chunk = b""
    for token in _tokens(field[colon:]):
        text = field[colon + token.start : colon + token.end]
        if token.kind == "space" and chunk:
            line = _place(pieces, line, chunk)
            chunk = b""
        chunk += text
        if token.kind == ",":
            line = _place(pieces, line, chunk)
            chunk = b""
    _place(pieces, line, chunk)
    return b"".join(pieces)


def _place(pieces: list[bytes], line: int, chunk: bytes) -> int:
    """Put a chunk on the line, or on a new one; the octets of the line then."""
    head, _, _ = chunk.partition(_CRLF)
    if line + len(head) > _LINE_LIMIT and len(pieces) > 1 and chunk.strip():
        pieces.append(_CRLF if chunk[:1] in (b" ", b"\t") else b"\r\n ")
        line = len(pieces[-1]) - len(_CRLF)
    pieces.append(chunk)
    end = chunk.rfind(_CRLF)
    return line + len(chunk) if end < 0 else len(chunk) - end - len(_CRLF)


def _tokens(value: bytes) -> Iterator[_Token]:
    """All of it, comments as one token each; "other" is what cannot be one, up to the end."""
    at = 0
    while at < len(value):
        found = _TOKEN.match(value, at)
        assert found is not None  # the last group matches anything
        kind, end = str(found.lastgroup), found.end()
        if kind == "special":
            kind = chr(value[at])
        elif kind == "other":
            end = _end_of_comment(value, at) if value[at] == ord("(") else 0
            kind, end = ("comment", end) if end else ("other", len(value))
        yield _Token(kind, at, end)
        at = end


def _end_of_comment(value: bytes, at: int) -> int:
    """Where the comment ends that begins there; 0 if it does not, or is too deep."""
    depth = 0
    while found := _IN_COMMENT.match(value, at):
        at = found.end()
        if found[0] == b"(":
            depth += 1
            if depth > _NESTING_LIMIT:
                break
        elif found[0] == b")":
            depth -= 1
            if not depth:
                return at
    return 0


def _is_route(element: list[_Token]) -> bool:
    """Whether what stands behind "<" is the beginning of a route, in which commas are."""
    begun = next((number for number, token in enumerate(element) if token.kind == "<"), None)
    return begun is None or begun + 1 == len(element) or element[begun + 1].kind in ("@", ",")


def _mailbox(value: bytes, element: list[_Token]) -> Iterator[AddressSpan]:
    """The address of one mailbox, without what may stand between its tokens; if it is sound."""
    kinds = [token.kind for token in element]
    if "<" in kinds:
        begin = kinds.index("<")
        # A phrase: words, and dots as in obs-phrase; many write an address there, without quotes.
        # Nothing follows ">".
        if kinds[-1] != ">" or not set(kinds[:begin]) <= {"atom", "quoted", ".", "@"}:
            return
        element = element[begin + 1 : -1]
    if not element:
        return
    start, end = element[0].start, element[-1].end
    text = _text(value, _without_route(element))
    try:
        mailbox = address.parse(text, utf8=True)
    except ValueError:
        return
    yield AddressSpan(start, end, str(mailbox))


def _without_route(element: list[_Token]) -> list[_Token]:
    """What follows an obs-route: "@" begins it, ":" ends it."""
    if element[0].kind not in ("@", ","):
        return element
    ends = (number for number, token in enumerate(element) if token.kind == ":")
    return element[next(ends, len(element)) + 1 :]


def _text(value: bytes, element: list[_Token]) -> str:
    """An addr-spec as RFC 5321 has it, or "" if the tokens are none.

    Words and specials take turns: that tells `a b@c` from `ab@c`. A local part of several words,
    some of them quoted (obs-local-part), becomes a quoted string.
    """
    at = next((number for number, token in enumerate(element) if token.kind == "@"), len(element))
    local, domain = element[:at], element[at + 1 :]
    words = ("atom", "quoted")
    if not _take_turns(local, words):
        return ""
    if domain and not _take_turns(domain, ("atom",)) and [t.kind for t in domain] != ["literal"]:
        return ""
    try:
        named = [value[token.start : token.end].decode() for token in local]
        host = "".join(value[token.start : token.end].decode() for token in domain)
    except UnicodeDecodeError:
        return ""
    if any(token.kind == "quoted" for token in local):
        content = "".join(
            _PAIR.sub(r"\1", _FOLD.sub("", word[1:-1])) if token.kind == "quoted" else word
            for token, word in zip(local, named, strict=True)
        )
        name = str(address.Mailbox(content, ""))
    else:
        name = "".join(named)
    return f"{name}@{_WHITE.sub('', host)}" if at < len(element) else name


def _take_turns(tokens: list[_Token], words: tuple[str, ...]) -> bool:
    """Whether they are words with a dot between any two."""
    return len(tokens) % 2 == 1 and all(
        token.kind == "." if number % 2 else token.kind in words
        for number, token in enumerate(tokens)
    )
