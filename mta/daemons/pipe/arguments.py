"""The words of a command, with what a message puts into them.

The law: each value is a part of one argument, whatever is in it; and no stranger's value begins an
argument with "-", for a program might take it for an option.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from mta.config.pipe_macros import CLIENT_MACROS, RECIPIENT_MACROS
from mta.ipc.messages import DeliverRecipient
from mta.lookup.forms import Extensions
from mta.proto import address
from mta.proto.envelope import Origin
from mta.proto.status import permanent
from mta.util.macros import Macros

__all__ = ["CommandLine", "client_values", "recipient_values", "sender_value"]

_UNKNOWN: Final = "unknown"


class CommandLine:
    """A command as the configuration has it."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = [Macros.parse(word) for word in words]
        self.wants_client = any(word.names & CLIENT_MACROS for word in self._words)

    def expand(
        self, values: Mapping[str, str], recipients: Sequence[Mapping[str, str]]
    ) -> list[str]:
        """The arguments; MailError 550 when a value would look like an option."""
        return list(self._expand(values, recipients))

    def _expand(
        self, values: Mapping[str, str], recipients: Sequence[Mapping[str, str]]
    ) -> Iterator[str]:
        for word in self._words:
            each = recipients if word.names & RECIPIENT_MACROS else ({},)
            for own in each:
                argument = word.expand({**values, **own})
                if word.begins_with_macro and argument.startswith("-"):
                    if own:
                        permanent("5.1.3", "bad address syntax", f"an option: {argument}")
                    permanent("5.1.7", "bad address syntax of the sender", f"an option: {argument}")
                yield argument


def recipient_values(
    recipient: DeliverRecipient, flags: str, extensions: Extensions
) -> dict[str, str]:
    """The macros of one recipient, under the flags h, q and u."""
    mailbox = _folded(recipient.address, flags)
    user, extension = extensions.split(mailbox.local)
    return {
        "recipient": _whole(mailbox, flags),
        "original_recipient": _whole(
            _folded(recipient.original or recipient.address, flags), flags
        ),
        "mailbox": mailbox.local,
        "user": user,
        "extension": extension[1:],
        "domain": mailbox.domain,
    }


def sender_value(sender: str, null_sender: str, flags: str) -> str:
    """The macro of the sender; its case is never changed."""
    text = sender or null_sender
    return _whole(_mailbox(text), flags) if text else ""


def client_values(origin: Origin) -> dict[str, str]:
    """The macros of the client that handed the message in; nobody authenticates as yet."""
    return {
        "client_address": origin.client_address,
        "client_port": str(origin.client_port) if origin.client_port else "",
        "client_helo": origin.helo,
        "client_protocol": origin.protocol,
        "client_hostname": _UNKNOWN,
        "sasl_method": "",
        "sasl_sender": "",
        "sasl_username": "",
    }


def _mailbox(text: str) -> address.Mailbox:
    try:
        return address.parse(text)
    except ValueError:
        local, _, domain = text.rpartition("@")
        return address.Mailbox(local or domain, domain if local else "")


def _folded(text: str, flags: str) -> address.Mailbox:
    mailbox = _mailbox(text)
    local = mailbox.local.lower() if "u" in flags else mailbox.local
    domain = mailbox.domain.lower() if "h" in flags else mailbox.domain
    return address.Mailbox(local, domain)


def _whole(mailbox: address.Mailbox, flags: str) -> str:
    if "q" in flags:
        return str(mailbox)
    return f"{mailbox.local}@{mailbox.domain}" if mailbox.domain else mailbox.local
