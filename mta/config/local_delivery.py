"""Parameters of delivery to the users of this host (local(8) of Postfix).

In forward_path, luser_relay and command_execution_directory, $user $home $shell $local $extension
$domain $recipient and $recipient_delimiter stand for those of the recipient; ${name?text} is text
where name has a value, ${name:text} where it has none.
"""

from typing import Annotated, Literal

from msgspec import Meta

from mta.config.delivering import Delivering
from mta.config.types import (
    AbsolutePath,
    Octets,
    TableNames,
    Transport,
    Used,
    UserName,
)

__all__ = ["LocalDelivery"]

Expansions = tuple[Literal["alias", "forward", "include"], ...]
Template = Annotated[
    str, Meta(title="a text with $name in it", max_length=1024, pattern=r"\A[ -~]*\Z")
]
Locks = tuple[Literal["fcntl", "flock", "dotlock"], ...]


class LocalDelivery(Delivering, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The part of `Parameters` that mail for users of this host is delivered by."""

    alias_maps: Annotated[
        TableNames,
        Meta(
            description="Tables of aliases for mail that local delivers, such as "
            "aliases:/etc/aliases: a local part, in lower case and without a domain, and what "
            "aliases(5) lets it lead to. Commands and files of a table that root owns are run and "
            "written as default_privs, of another's table as its owner.",
        ),
        Used("local"),
    ] = ()
    expand_owner_alias: Annotated[
        bool,
        Meta(
            description="Whether mail for an alias that has a companion owner-ALIAS gets for its "
            "sender what that leads to, instead of owner-ALIAS itself.",
        ),
        Used("local"),
    ] = False
    owner_request_special: Annotated[
        bool,
        Meta(
            description="Whether owner-ALIAS is whom failures of mail to ALIAS are told, and "
            "neither owner-LIST nor LIST-request is parted where recipient_delimiter has a -.",
        ),
        Used("local", "rewrite"),
    ] = True
    allow_mail_to_commands: Annotated[
        Expansions,
        Meta(
            description="Where a command may be named for local to run: in aliases, .forward "
            "files, :include: files. Elsewhere it bounces with 5.7.1.",
        ),
        Used("local"),
    ] = ("alias", "forward")
    allow_mail_to_files: Annotated[
        Expansions,
        Meta(
            description="Where a file may be named for local to write to: in aliases, .forward "
            "files, :include: files. Elsewhere it bounces with 5.7.1.",
        ),
        Used("local"),
    ] = ("alias", "forward")
    default_privs: Annotated[
        UserName,
        Meta(
            description="The user who runs commands and writes files that aliases of root name. "
            "Never root or a user of the mail system.",
        ),
        Used("local"),
    ] = "nobody"
    forward_path: Annotated[
        tuple[Template, ...],
        Meta(
            description="Where a user's .forward file may be, in this order; the first one that "
            "is there counts. A place that names a value that the recipient does not have, such "
            "as an extension, is passed over. Empty: users cannot forward.",
        ),
        Used("local"),
    ] = ("$home/.forward${recipient_delimiter}${extension}", "$home/.forward")
    mailbox_transport_maps: Annotated[
        TableNames,
        Meta(
            description="Tables that name by user the row, as ROW or ROW:NEXTHOP, that his mail "
            "is handed to in place of a mailbox.",
        ),
        Used("local"),
    ] = ()
    mailbox_transport: Annotated[
        Transport,
        Meta(
            description="The row, as ROW or ROW:NEXTHOP, that mail for all users is handed to "
            "when aliases and .forward files have been looked at, whether or not this host knows "
            "the user: lmtp:unix:/run/dovecot/lmtp. Empty: local writes mailboxes itself.",
        ),
        Used("local"),
    ] = ""
    mailbox_command_maps: Annotated[
        TableNames,
        Meta(
            description="Tables that name by user the command that stores his mail, as "
            "mailbox_command does for all.",
        ),
        Used("local"),
    ] = ()
    mailbox_command: Annotated[
        str,
        Meta(
            title="a command, or nothing",
            max_length=8000,
            pattern=r"\A[^\x00-\x1f\x7f]*\Z",
            description="The command that stores mail in place of local, run as the user whose "
            "mail it is, with HOME, USER, EXTENSION and others set: "
            '/usr/bin/procmail -a "$EXTENSION". Whoever '
            "uses one must have an alias for root.",
        ),
        Used("local"),
    ] = ""
    command_execution_directory: Annotated[
        Template,
        Meta(
            description="The folder that local runs commands in, entered as the user who runs "
            "them: $home, for example. If it cannot be entered, mail is tried again. Where it "
            "comes to nothing, as $home of an alias of root's does, commands run in /.",
        ),
        Used("local"),
    ] = ""
    home_mailbox: Annotated[
        str,
        Meta(
            title="a path below a home directory, or nothing",
            max_length=255,
            pattern=r"\A(?:[^/\x00-\x1f\x7f][^\x00-\x1f\x7f]*)?\Z",
            description="The mailbox of each user below his home directory: Maildir/ with a slash "
            "at the end is a Maildir, Mailbox is an mbox file. Empty: mail_spool_directory.",
        ),
        Used("local"),
    ] = ""
    mail_spool_directory: Annotated[
        AbsolutePath,
        Meta(
            description="The folder that has the mailbox of each user under his name: an mbox "
            "file, or a Maildir where this ends in a slash.",
        ),
        Used("local"),
    ] = "/var/mail"
    fallback_transport_maps: Annotated[
        TableNames,
        Meta(
            description="Tables that name, by local part, the row for mail whose recipient is "
            "neither an alias nor a user of this host.",
        ),
        Used("local"),
    ] = ()
    fallback_transport: Annotated[
        Transport,
        Meta(
            description="The row, as ROW or ROW:NEXTHOP, for mail whose recipient is neither an "
            "alias nor a user of this host. Empty: luser_relay, or else it bounces.",
        ),
        Used("local"),
    ] = ""
    luser_relay: Annotated[
        Template,
        Meta(
            description="The address that mail goes to whose recipient is neither an alias nor a "
            "user of this host: $user@other.example, or one of this host's own. Empty: it bounces "
            "with 5.1.1.",
        ),
        Used("local"),
    ] = ""
    mailbox_size_limit: Annotated[
        Octets,
        Meta(
            ge=0,
            le=2**62,
            description="The largest size of an mbox file, in octets, that local lets grow; what "
            "would exceed it bounces with 5.2.2. 0: no limit.",
        ),
        Used("local"),
    ] = 51_200_000
    mailbox_delivery_lock: Annotated[
        Locks,
        Meta(
            description="How an mbox file is locked while it is written to, in this order; all "
            "programs that touch the file must have one of them in common.",
        ),
        Used("local"),
    ] = ("fcntl", "dotlock")
