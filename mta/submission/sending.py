"""One message from standard input to stable storage, in pieces.

    lines -> header section, as a whole -> recipients are known: a door is opened -> the rest

Where pickup listens it takes the message; where nobody does, or nobody has a place for it, it
becomes a file in the maildrop. A system that answers and refuses is not gone round.
"""

import os
import pwd
from collections.abc import Iterator
from typing import Final

from mta.proto.addresslist import find_addresses
from mta.proto.headers import HeaderScanner
from mta.queue.maildrop import Submission
from mta.submission.doors import Door
from mta.submission.errors import SubmissionError
from mta.submission.header import Header
from mta.submission.lines import LineReader
from mta.submission.maildrop import MaildropDoor
from mta.submission.options import Options
from mta.submission.pickup import PickupDoor
from mta.submission.place import Place

__all__ = ["Caller", "caller", "open_door", "send"]

_CHUNK: Final = 65_536  # octets
_ADDRESS_LIMIT: Final = 320  # characters: mta.proto.envelope
_NULL: Final = ("", "<>")


class Caller:
    """Who runs the program, by the kernel's word and the user database."""

    def __init__(self, name: str, full_name: str) -> None:
        self.name = name
        self.full_name = full_name


def caller() -> Caller:
    """The user of this process; SubmissionError if the host does not know him."""
    uid = os.getuid()
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        raise SubmissionError(f"no name is known of user {uid}", os.EX_OSERR) from None
    # passwd(5): the first part is the name, in which "&" stands for the login name.
    full_name = entry.pw_gecos.partition(",")[0].replace("&", entry.pw_name.capitalize())
    return Caller(entry.pw_name, os.environ.get("NAME") or full_name)


def send(place: Place, options: Options, source: int) -> None:
    """Send what can be read from a descriptor; SubmissionError if it is not on its way."""
    sent_by = caller()
    named = [address for operand in options.operands for address in addresses_in(operand)]
    sender = _sender(options, sent_by)
    content = _content(source, options.dot_ends, place.terms.message_size_limit)
    scanner = HeaderScanner()
    _gather(scanner, content, place.terms.header_size_limit)
    header = Header(scanner.section)
    if options.extract:
        named += header.recipients()
    if not named:
        raise SubmissionError("no recipient is named", os.EX_USAGE)
    recipients = tuple(dict.fromkeys(named))
    submission = Submission(sender, recipients, options.body_8bit, place.terms.myhostname)
    full_name = sent_by.full_name if options.full_name is None else options.full_name
    door = open_door(place, submission)
    try:
        door.write(header.completed(sender, full_name) + scanner.separator + scanner.rest)
        for piece in content:
            door.write(piece)
        door.commit()
    finally:
        door.close()


def open_door(place: Place, submission: Submission) -> Door:
    """The way out for a message: to pickup, or to a file where nobody listens or has a place."""
    timeout = place.terms.sendmail_timeout

    def maildrop() -> Door:
        return MaildropDoor(place.maildrop, submission, timeout)

    try:
        return PickupDoor(place.queue_directory, submission, timeout, maildrop)
    except OSError:  # whatever it is: nothing was said, and a file does as well
        return maildrop()


def addresses_in(operand: str) -> list[str]:
    """The addresses of one word of the command line; SubmissionError if there is none."""
    found = [span.address for span in find_addresses(os.fsencode(operand))]
    if not found or max(map(len, found)) > _ADDRESS_LIMIT:
        raise SubmissionError(f"not an address: {operand!r}", os.EX_NOUSER)
    return found


def _sender(options: Options, sent_by: Caller) -> str:
    if options.sender is None:
        return sent_by.name
    if options.sender.strip() in _NULL:
        return ""
    found = addresses_in(options.sender)
    if len(found) > 1:
        raise SubmissionError(f"more than one sender: {options.sender!r}", os.EX_DATAERR)
    return found[0]


def _content(source: int, dot_ends: bool, size_limit: int) -> Iterator[bytes]:
    """The message in pieces, in the form that the house has it."""
    reader = LineReader(dot_ends=dot_ends)
    size = 0
    while not reader.ended:
        data = os.read(source, _CHUNK)
        piece = reader.feed(data) if data else reader.end()
        size += len(piece)
        if size > size_limit:
            text = f"the message is larger than {size_limit} octets"
            raise SubmissionError(text, os.EX_UNAVAILABLE)
        if piece:
            yield piece
        if not data:
            return


def _gather(scanner: HeaderScanner, content: Iterator[bytes], size_limit: int) -> None:
    for piece in content:
        complete = scanner.feed(piece)
        if (len(scanner.section) or scanner.size) > size_limit:
            text = f"the header section is larger than {size_limit} octets"
            raise SubmissionError(text, os.EX_DATAERR)
        if complete:
            return
    scanner.end()
