"""The programs that are started anew for each call: what they do, and how they end.

NAME
    sendmail, mailq, newaliases - the classic programs, in front of Posthouse

DESCRIPTION
    sendmail reads a message from standard input and has it delivered to the recipients on its
    command line, and with -t to those in the header. It takes the options of Postfix's sendmail(1),
    as far as they mean something here: mta.submission.options. It is the caller's process and has
    no power of its own; nothing is set-uid or set-gid.

    Where the system runs, pickup takes the message over its socket; where it does not, as on a
    workstation without any process of ours, the message becomes a file in the maildrop. So it does
    where pickup has no place for one more message of this user: that file waits for the next time
    that pickup looks, at most its row's wakeup. Nobody wakes it for that, for it takes no word of
    such a user either.

    What other options ask for is done by the `mta` command, in place of this program: the queue is
    listed (-bp, mailq) and flushed (-q), the alias database built (-bi, newaliases), addresses
    looked at (-bv), the system started (-bd). Who may not read the queue is told of it by showq.

DIAGNOSTICS
    Status 0: the message is on stable storage. Otherwise a line on stderr, and of sysexits.h
    64 (usage), 65 (the message is not acceptable), 67 (an address is none), 69 (refused), 71 (the
    caller has no name), 75 (try again later), 77 (not permitted), 78 (no configuration).

BUGS
    What -N, -R and -V ask of delivery status notifications is checked and not passed on, for the
    system offers none of them to anybody. -G and -v are ignored. -bv prints what becomes of an
    address instead of sending a report: nothing is delivered for that, and the caller is there.

CONFIGURATION PARAMETERS
    myhostname message_size_limit header_size_limit maildrop_directory sendmail_timeout
    alias_database

ENVIRONMENT
    MTA_CONFIG, where -C does not say where the configuration is; NAME, the caller's full name.

FILES
    public/pickup, public/showq, maildrop/ in the queue directory
"""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Final

from mta.submission.errors import SubmissionError
from mta.submission.options import Mode, Options, UsageError, parse_options
from mta.submission.place import Place, find_place

__all__ = ["main"]

_STDIN: Final = 0
_ALIASES: Final = "cdb:/etc/aliases"


def main(arguments: Sequence[str]) -> int:
    """Run a program; the arguments are its name and its own. The result is the exit status."""
    name = os.path.basename(arguments[0]) if arguments else "sendmail"
    _fill_standard_descriptors()
    try:
        _run(parse_options(name, arguments[1:]))
    except UsageError as error:
        return _fail(name, str(error), os.EX_USAGE)
    except SubmissionError as error:
        return _fail(name, str(error), error.status)
    except OSError as error:
        return _fail(name, str(error), os.EX_TEMPFAIL)
    except KeyboardInterrupt:
        return _fail(name, "interrupted", os.EX_TEMPFAIL)
    return os.EX_OK


def _fill_standard_descriptors() -> None:
    """Have no file or socket of ours in the place of one that the caller closed; mailutils does."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            os.set_inheritable(descriptor, True)


def _run(options: Options) -> None:
    """Do what the options say."""
    if options.mode is Mode.NOTHING:
        return
    place = find_place(options.config)
    if options.mode is Mode.SEND:
        from mta.submission.sending import send  # noqa: PLC0415 - not needed otherwise

        send(place, options, _STDIN)
    elif options.mode is Mode.SMTP:
        from mta.submission.smtp import serve  # noqa: PLC0415 - as above

        serve(place)
    else:
        _become(place, _COMMANDS[options.mode](place, options))


def _list(_place: Place, _options: Options) -> list[str]:
    return ["queue", "mailq"]


def _flush(_place: Place, options: Options) -> list[str]:
    if options.queue_id:
        return ["queue", "flush", "--", options.queue_id]
    return ["queue", "flush", *(("--domain", options.site) if options.site else ("--all",))]


def _build(place: Place, options: Options) -> list[str]:
    if options.alias_database:
        return ["map", "build", "--", options.alias_database]
    tables = place.terms.alias_database or (_ALIASES,)
    return ["map", "build", "--", *(each for each in tables if each.startswith("cdb:"))]


def _verify(_place: Place, options: Options) -> list[str]:
    if not options.operands:
        raise UsageError("-bv needs an address")
    return ["address", "--", *options.operands]


def _start(_place: Place, _options: Options) -> list[str]:
    return ["start"]


_COMMANDS: Final[dict[Mode, Callable[[Place, Options], list[str]]]] = {
    Mode.LIST: _list,
    Mode.FLUSH: _flush,
    Mode.ALIASES: _build,
    Mode.VERIFY: _verify,
    Mode.START: _start,
}


def _become(place: Place, words: list[str]) -> None:
    """Be the `mta` command instead."""
    command = [sys.executable, "-I", "-m", "mta.commands", "-c", place.config, *words]
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


def _fail(name: str, text: str, status: int) -> int:
    printable = "".join(letter if letter.isprintable() else "?" for letter in text)
    os.write(2, f"{name}: {printable}\n".encode("utf-8", "backslashreplace"))
    return status
