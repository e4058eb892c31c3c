"""Where a message ends: mailboxes, files, commands, other rows, or nobody that there is (local(8)).

    mailbox     mailbox_transport_maps, mailbox_transport; then, of a user of this host,
                mailbox_command_maps, mailbox_command, home_mailbox, mail_spool_directory
    nobody      fallback_transport_maps, fallback_transport, luser_relay; mail for a postmaster that
                has no alias is thrown away with a warning, and all else bounces with 5.1.1

Everything is done once for a message, however many ways lead there.
"""

import re
import time
from typing import Final

from mta.config.parameters import Parameters
from mta.daemons.local.house import House
from mta.daemons.local.steps import Rights, Source, Step, substituted
from mta.delivery.exit_status import outcome_of, printable
from mta.ipc.messages import MailboxKind
from mta.proto import address
from mta.proto.envelope import Origin, Recipient
from mta.proto.status import Status, permanent, temporary
from mta.util.accounts import Account
from mta.util.substitution import safe

__all__ = ["NoMailboxError", "Outlets", "is_path"]

_REQUIRED: Final = frozenset(("postmaster", "mailer-daemon"))  # RFC 5321, 4.5.1

_PATH: Final = re.compile(r"/[^\x00-\x1f\x7f]{0,4094}")
_COMMAND: Final = re.compile(r"[^\x00]{1,8000}", re.DOTALL)
_NO_FOLDER: Final = "/"


class NoMailboxError(Exception):
    """There is no such user, and no row that takes mail for all the same."""


class Outlets:
    """The ends of one message's ways; each call gives the outcome, None for what was done already.

    MailError: it was not delivered.
    """

    def __init__(
        self, parameters: Parameters, house: House, origin: Origin, seen: set[tuple[str, ...]]
    ) -> None:
        self._parameters = parameters
        self._house = house
        self._origin = origin
        self._seen = seen

    async def mailbox(self, step: Step) -> Status | None:
        """Deliver to the mailbox of the step's user, or NoMailboxError."""
        parameters = self._parameters
        transport = await self._house.find("mailbox_transport_maps", step.user)
        transport = transport or parameters.mailbox_transport
        account = None if transport else await self._house.account(step.user)
        if account is None and not transport:
            transport = await self._house.find("fallback_transport_maps", step.user)
            transport = transport or parameters.fallback_transport
            if not transport:
                raise NoMailboxError
        if self._done("mailbox", step.local):
            return None
        if account is None:
            return await self._house.hand_over(transport, Recipient(step.address, step.original))
        return await self._store_for(account, step)

    async def _store_for(self, account: Account, step: Step) -> Status:
        """Deliver as the user whose mail it is."""
        parameters, rights = self._parameters, Rights(account.name, account)
        command = await self._house.find("mailbox_command_maps", step.user)
        command = command or parameters.mailbox_command
        if command:
            return await self._run(command, rights, step)
        if parameters.home_mailbox:
            path = f"{account.home.rstrip('/')}/{parameters.home_mailbox}"
        elif parameters.mail_spool_directory.endswith("/"):
            path = f"{parameters.mail_spool_directory}{account.name}/"
        else:
            path = f"{parameters.mail_spool_directory}/{account.name}"
        return await self._store(rights, path, step, "mailbox")

    async def file(self, path: str, step: Step) -> Status | None:
        """Append to a file that a target names, or deliver to a Maildir."""
        rights = step.rights or Rights(self._parameters.default_privs)
        if self._done("file", rights.user, path):
            return None
        if not _allowed(step.source, self._parameters.allow_mail_to_files):
            permanent("5.7.1", "mail to file is restricted", path)
        return await self._store(rights, path, step, "file")

    async def command(self, text: str, step: Step) -> Status | None:
        """Run a command that a target names."""
        rights = step.rights or Rights(self._parameters.default_privs)
        if self._done("command", rights.user, text):
            return None
        if not _allowed(step.source, self._parameters.allow_mail_to_commands):
            permanent("5.7.1", "mail to command is restricted", text)
        return await self._run(text, rights, step)

    def nobody(self, step: Step) -> Status:
        """What becomes of mail for nobody; MailError 550 5.1.1."""
        if step.user not in _REQUIRED:
            permanent("5.1.1", f'unknown user: "{safe(step.local)}"')
        self._house.warn("alias_missing", name=step.user)
        return Status(250, "2.0.0", "discarded: this name must have an alias")

    async def _store(self, rights: Rights, path: str, step: Step, what: str) -> Status:
        if not is_path(path):
            permanent("5.2.0", "no file can have this name", repr(path))
        kind = MailboxKind.MAILDIR if path.endswith("/") else MailboxKind.MBOX
        status = await self._house.store(rights.user, kind, path, step.sender, _trace(step))
        if status.is_temporary or status.is_permanent:
            return status
        told = "maildir" if kind is MailboxKind.MAILDIR else what
        return Status(250, "2.0.0", f"delivered to {told}{f': {path}' if what == 'file' else ''}")

    async def _run(self, command: str, rights: Rights, step: Step) -> Status:
        command = command.strip()
        if not _COMMAND.fullmatch(command):
            permanent("5.3.5", "no command, or one that is too long")
        prefix = _from_line(step.sender) + _trace(step)
        ended = await self._house.run(
            rights.user,
            command,
            self._directory(rights, step),
            self._environment(rights, step),
            prefix,
        )
        name = printable(command.encode("ascii", "replace"))
        return outcome_of(ended, command, f"delivered to command: {name}")

    def _directory(self, rights: Rights, step: Step) -> str:
        """Where commands of these rights run; MailError 451 for what can be no folder."""
        account = rights.account
        values = step.values | {
            "home": account.home if account else "",
            "shell": account.shell if account else "",
        }
        folder = substituted(self._parameters.command_execution_directory, values).text
        if folder and not is_path(folder):
            reason = f"command_execution_directory: {folder!r} is no absolute path"
            temporary("4.3.5", "mail system configuration error", reason)
        return folder or _NO_FOLDER

    def _environment(self, rights: Rights, step: Step) -> list[tuple[str, str]]:
        account, origin = rights.account, self._origin
        values = {
            "HOME": account.home if account else "",
            "SHELL": account.shell if account else "",
            "USER": step.user,
            "LOGNAME": step.user,
            "LOCAL": step.local,
            "EXTENSION": step.extension,
            "DOMAIN": step.domain,
            "RECIPIENT": _unquoted(step.address),
            "ORIGINAL_RECIPIENT": _unquoted(step.original),
            "CLIENT_ADDRESS": origin.client_address,
            "CLIENT_HELO": origin.helo,
            "CLIENT_PROTOCOL": origin.protocol,
        }
        named = [(name, safe(value)) for name, value in values.items() if value]
        # The null sender is a value, too.
        return [*named, ("SENDER", safe(_unquoted(step.sender)))]

    def _done(self, *key: str) -> bool:
        if key in self._seen:
            return True
        self._seen.add(key)
        return False


def is_path(text: str) -> bool:
    """Whether it can be the absolute path of a file."""
    return _PATH.fullmatch(text) is not None


def _trace(step: Step) -> bytes:
    """The fields that a mailbox's copy begins with (RFC 5321, 4.4; RFC 9228); lines end in LF."""
    original = f"X-Original-To: {step.original}\n" if step.original else ""
    return f"Return-Path: <{step.sender}>\n{original}Delivered-To: {step.delivered}\n".encode()


def _from_line(sender: str) -> bytes:
    """The line that a message for a command begins with, as in an mbox."""
    return f"From {sender or 'MAILER-DAEMON'}  {time.asctime(time.localtime())}\n".encode()


def _unquoted(text: str) -> str:
    """An address without the quotes of its local part, as commands know it."""
    try:
        mailbox = address.parse(text)
    except ValueError:
        return text
    return f"{mailbox.local}@{mailbox.domain}" if mailbox.domain else mailbox.local


def _allowed(source: Source | None, sources: tuple[str, ...]) -> bool:
    return source is not None and source.value in sources
