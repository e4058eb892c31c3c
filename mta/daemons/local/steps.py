"""Where the delivery to one recipient has come to: what each alias and .forward hands to the next.

Nothing here changes: a step further is another Step.
"""

import enum
from collections.abc import Mapping

from msgspec import Struct, structs

from mta.lookup.forms import Extensions
from mta.proto.address import Mailbox
from mta.proto.status import temporary
from mta.util.accounts import Account
from mta.util.substitution import Substituted, substitute

__all__ = ["Known", "Rights", "Source", "Step", "step_to", "substituted"]


class Source(enum.Enum):
    """What named a target: allow_mail_to_commands and allow_mail_to_files go by that."""

    ALIAS = "alias"
    FORWARD = "forward"
    INCLUDE = "include"


class Rights(Struct, frozen=True):
    """As whom commands are run and files are written; who has no account has no home to tell."""

    user: str
    account: Account | None = None


class Known(Struct, frozen=True, kw_only=True):
    """What is known of a recipient beside his address: how mail came to be for him."""

    sender: str
    original: str  # as the sender of the message named it; nothing once an alias has an owner
    delivered: str  # what Delivered-To is to say, from the beginning on (frozen_delivered_to)
    depth: int = 0
    expanded_from: str = ""  # the alias or the user whose expansion led here
    source: Source | None = None
    owner: str = ""  # who forwards: others than he get a message of their own
    unmatched: str = ""  # the extension that addresses get, with its delimiter
    rights: Rights | None = None
    relayed: bool = False  # by luser_relay, which is no way out twice


class Step(Known, frozen=True, kw_only=True):
    """One recipient on the way.

    `local` is the local part without quotes and in lower case; it is `user`, `delimiter` and
    `extension`, or `user` alone.
    """

    address: str
    local: str
    domain: str
    user: str
    delimiter: str
    extension: str

    @property
    def values(self) -> dict[str, str]:
        """What $name stands for in parameters, beside what an account tells."""
        return {
            "user": self.user,
            "local": self.local,
            "domain": self.domain,
            "extension": self.extension,
            "recipient": self.address,
            "recipient_delimiter": self.delimiter,
        }


def step_to(address: Mailbox, extensions: Extensions, known: Known) -> Step:
    """The step to a recipient."""
    local = address.local.lower()
    user, rest = extensions.split(local)
    delimiter, extension = rest[:1], rest[1:]
    if "/" in extension:  # no file may be reached by it
        delimiter = extension = ""
    return Step(
        address=str(address),
        local=local,
        domain=address.domain,
        user=user,
        delimiter=delimiter,
        extension=extension,
        **structs.asdict(known),
    )


def substituted(template: str, values: Mapping[str, str]) -> Substituted:
    """As `substitute`, for a parameter that is wrong: nothing can be done until it is mended."""
    try:
        return substitute(template, values)
    except ValueError as error:
        temporary("4.3.5", "mail system configuration error", str(error))
