"""The syntax of commands (RFC 5321, 4.1.1 and 4.1.2): arguments -> events, or a refusal.

Every function takes the octets behind the verb, without the trailing white space that a server
should tolerate (4.1.1), and raises MailError with the reply that a peer deserves. Repetitions in
the patterns are possessive: no input makes them try twice.

Known deviations, both for the sake of clients that exist: "_" in the name of HELO and EHLO, and
one space behind the colon of FROM: and TO:.
"""

import re
from typing import Final

from mta.proto import address
from mta.proto.smtp.events import Mail, Rcpt
from mta.proto.status import permanent

__all__ = ["check_no_argument", "parse_hello", "parse_mail", "parse_rcpt"]

# Domain = sub-domain *("." sub-domain)
# sub-domain = Let-dig [Ldh-str]
# Let-dig = ALPHA / DIGIT
# Ldh-str = *( ALPHA / DIGIT / "-" ) Let-dig
_LABEL: Final = rb"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_DOMAIN: Final = rb"%b(?:\.%b)*+" % (_LABEL, _LABEL)

# address-literal = "[" ( IPv4-address-literal /
#                         IPv6-address-literal /
#                         General-address-literal ) "]"
# General-address-literal = Standardized-tag ":" 1*dcontent
# dcontent = %d33-90 / %d94-126
_LITERAL: Final = rb"\[[!-Z^-~]{1,250}+\]"

# ehlo = "EHLO" SP ( Domain / address-literal ) CRLF
_HELLO: Final = re.compile(rb"(?:%b|%b)" % (_DOMAIN, _LITERAL))

# mail = "MAIL FROM:" Reverse-path [SP Mail-parameters] CRLF
# rcpt = "RCPT TO:" ( "<Postmaster@" Domain ">" / "<Postmaster>" / Forward-path ) [SP ...] CRLF
# (the paths: mta.proto.address)
_FROM: Final = re.compile(r"FROM: ?(?=<)", re.IGNORECASE)
_TO: Final = re.compile(r"TO: ?(?=<)", re.IGNORECASE)

# esmtp-param = esmtp-keyword ["=" esmtp-value]
# esmtp-keyword = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-")
# esmtp-value = 1*(%d33-60 / %d62-126)
_PARAMETER: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*+)(?:=([!-<>-~]++))?")

# size-value = 1*20DIGIT   (RFC 1870, 3)
_SIZE: Final = re.compile(r"[0-9]{1,20}")


def parse_hello(verb: str, argument: bytes) -> str:
    """The name that a client gives itself; RFC 2034 has no enhanced codes in these answers."""
    if len(argument) > 255 or not _HELLO.fullmatch(argument):
        syntax = "EHLO hostname" if verb == "EHLO" else "HELO hostname"
        permanent("", f"Syntax: {syntax}", code=501)
    return argument.decode("ascii")


def check_no_argument(verb: str, argument: bytes) -> None:
    """RSET, DATA, STARTTLS and QUIT have none."""
    if argument:
        permanent("5.5.4", f"Syntax: {verb}", code=501)


def parse_mail(argument: bytes) -> Mail:
    """The argument of MAIL, its reverse-path in canonical form."""
    text = argument.decode("ascii", "replace")
    match = _FROM.match(text)
    if match is None:
        permanent("5.5.4", "Syntax: MAIL FROM:<address>", code=501)
    try:
        mailbox, tail = address.parse_path(text[match.end() :])
    except ValueError as error:
        permanent("5.1.7", "Bad sender address syntax", str(error), code=501)
    if mailbox is not None and not mailbox.domain:
        permanent("5.1.7", "Sender address needs a domain", code=501)
    sender = "" if mailbox is None else str(mailbox)
    if not tail:
        return Mail(sender)
    parameters = _parse_parameters(tail, ("SIZE", "BODY"))
    return Mail(sender, _parse_size(parameters), _parse_body(parameters))


def parse_rcpt(argument: bytes) -> Rcpt:
    """The argument of RCPT; no extension that we offer gives it a parameter."""
    text = argument.decode("ascii", "replace")
    match = _TO.match(text)
    if match is None:
        permanent("5.5.4", "Syntax: RCPT TO:<address>", code=501)
    path = text[match.end() :]
    try:
        mailbox, tail = address.parse_path(path)
    except ValueError as error:
        permanent("5.1.3", "Bad recipient address syntax", str(error), code=501)
    if mailbox is None:
        permanent("5.1.3", "Recipient address must not be null", code=501)
    if tail:
        _parse_parameters(tail, ())
    return Rcpt(str(mailbox), path[1 : len(path) - len(tail) - 1])


def _parse_parameters(tail: str, known: tuple[str, ...]) -> dict[str, str]:
    if not tail.startswith(" "):
        permanent("5.5.4", "Syntax: <address> KEYWORD=value", code=501)
    parameters: dict[str, str] = {}
    for word in tail.split(" "):
        if not word:
            continue  # more than one space is no ambiguity
        match = _PARAMETER.fullmatch(word)
        if match is None:
            permanent("5.5.4", "Syntax: KEYWORD=value", code=501)
        keyword = match[1].upper()
        if keyword not in known:
            permanent("5.5.4", f"Unsupported option: {keyword}", code=555)
        if keyword in parameters:
            permanent("5.5.4", f"Option given twice: {keyword}", code=501)
        parameters[keyword] = match[2] or ""
    return parameters


def _parse_size(parameters: dict[str, str]) -> int:
    size = parameters.get("SIZE", "0")
    if not _SIZE.fullmatch(size):
        permanent("5.5.4", "Syntax: SIZE=octets", code=501)
    return int(size)


def _parse_body(parameters: dict[str, str]) -> bool:
    body = parameters.get("BODY", "7BIT").upper()
    if body not in ("7BIT", "8BITMIME"):
        permanent("5.5.4", "Syntax: BODY=7BIT or BODY=8BITMIME", code=501)
    return body == "8BITMIME"
