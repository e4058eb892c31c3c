"""Parameters of delivery on this host: mailboxes of people without an account, and commands.

Those of a command, pipe_..., are meant for a row's `settings`: each row of `pipe` has its own.
"""

from typing import Annotated, Literal

from msgspec import Meta

from mta.config.addressing import Addressing
from mta.config.types import AbsolutePath, Duration, Octets, Used, duration

__all__ = ["Delivering"]


class Delivering(Addressing, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The part of `Parameters` that mailboxes and commands are treated by."""

    virtual_mailbox_limit: Annotated[
        Octets,
        Meta(
            ge=0,
            le=2**63 - 1,
            description="The most octets of one file below virtual_mailbox_base: of an mbox with "
            "all its messages, or of one message in a Maildir; 0: no limit. What would exceed it "
            "is returned to its sender.",
        ),
        Used("virtual"),
    ] = 51_200_000
    virtual_mailbox_lock: Annotated[
        tuple[Literal["fcntl", "flock", "dotlock"], ...],
        Meta(
            description="How an mbox is locked, in this order: as the programs do it that read it. "
            "Maildirs need no locks.",
        ),
        Used("virtual"),
    ] = ("fcntl", "dotlock")
    virtual_maildir_quota: Annotated[
        Octets,
        Meta(
            ge=0,
            le=2**63 - 1,
            description="The most octets of all messages in a Maildir and its folders, kept in "
            "its file maildirsize; 0: as that file says, if there is one. What would exceed it is "
            "returned to its sender. No parameter of Postfix.",
        ),
        Used("virtual"),
    ] = 0
    virtual_maildir_quota_messages: Annotated[
        int,
        Meta(
            ge=0,
            le=2**63 - 1,
            description="The most messages in a Maildir and its folders; otherwise as "
            "virtual_maildir_quota.",
        ),
        Used("virtual"),
    ] = 0
    deliver_lock_attempts: Annotated[
        int,
        Meta(
            ge=1,
            le=1000,
            description="How many deliver_lock_delay a lock on a mailbox is waited for; then its "
            "mail is deferred.",
        ),
        Used("virtual"),
    ] = 20
    deliver_lock_delay: Annotated[
        Duration,
        duration(
            "The longest pause between two attempts at a lock on a mailbox; the first pauses are "
            "shorter.",
            0.01,
            60,
        ),
        Used("virtual"),
    ] = 1.0
    stale_lock_time: Annotated[
        Duration,
        duration("The age at which a lock file (MAILBOX.lock) is taken for one of a dead program."),
        Used("virtual"),
    ] = 500.0
    pipe_command: Annotated[
        tuple[
            Annotated[
                str,
                Meta(title="printable text", max_length=8192, pattern=r"\A[^\x00-\x1f\x7f]*\Z"),
            ],
            ...,
        ],
        Meta(
            max_length=200,
            description="The command that takes a message on its standard input: an absolute path "
            "and its arguments, without a shell. ${recipient} and so on are replaced, see pipe; an "
            "argument with a macro of recipients is repeated for each. In Postfix it is argv.",
        ),
        Used("pipe"),
    ] = ()
    pipe_flags: Annotated[
        str,
        Meta(
            title="letters of BDFORXhqu.>",
            max_length=11,
            pattern=r"\A[BDFORXhqu.>]*\Z",
            description="How message and arguments are made: B an empty line at the end, "
            "D Delivered-To, F a From_ line, O X-Original-To, R Return-Path, X final delivery; h "
            "domains and u local parts in lower case, q local parts quoted; . and > before lines "
            'that begin with "." or "From ". D and O want pipe_destination_recipient_limit 1.',
        ),
        Used("pipe"),
    ] = ""
    pipe_size_limit: Annotated[
        Octets,
        Meta(
            ge=0,
            le=2**63 - 1,
            description="The largest message that the command gets, in octets; a larger one is "
            "returned to its sender. 0: no limit. In Postfix it is size.",
        ),
        Used("pipe"),
    ] = 0
    pipe_directory: Annotated[
        AbsolutePath,
        Meta(
            description="The folder that the command runs in. Empty: the queue directory, in "
            "which its user has no right to read or write."
        ),
        Used("pipe"),
    ] = ""
    pipe_null_sender: Annotated[
        str,
        Meta(
            title="printable text",
            max_length=320,
            pattern=r"\A[!-~]*\Z",
            description="What stands for the null sender in ${sender}, the From_ line and "
            "Return-Path. Empty for commands that know it, which is for content filters.",
        ),
        Used("pipe"),
    ] = "MAILER-DAEMON"
    pipe_eol: Annotated[
        Literal["lf", "crlf"],
        Meta(
            description="How the lines end that the command gets: in LF, as those of text files "
            "do, or in CRLF, as in SMTP."
        ),
        Used("pipe"),
    ] = "lf"
    pipe_writable: Annotated[
        tuple[Annotated[str, Meta(title="an absolute path", pattern=r"\A/.*\Z")], ...],
        Meta(
            description="The folders below which the command may write, as far as its user may. "
            "It can read and execute whatever its user can. No parameter of Postfix.",
        ),
        Used("pipe"),
    ] = ()
    pipe_destination_recipient_limit: Annotated[
        int,
        Meta(
            ge=1,
            le=50,
            description="Recipients that one run of the command is for, at most; with 1, each has "
            "a run, and an outcome, of his own.",
        ),
        Used("pipe"),
    ] = 50
    command_time_limit: Annotated[
        Duration,
        duration(
            "How long a command may take that pipe or local runs; then it is killed, with all of "
            "its process group, and the mail is returned to the sender. Less than "
            "delivery_timeout.",
            1,
            86_400,
        ),
        Used("local", "pipe"),
    ] = 1000.0
    export_environment: Annotated[
        tuple[
            Annotated[
                str,
                Meta(
                    title="NAME or NAME=VALUE",
                    max_length=1024,
                    pattern=r"\A[A-Za-z_][A-Za-z0-9_]{0,63}(?:=.*)?\Z",
                ),
            ],
            ...,
        ],
        Meta(
            max_length=40,
            description="Variables that a command has in its environment, beside PATH and what "
            "tells it of the message; NAME has the value that the master has for it.",
        ),
        Used("local", "pipe"),
    ] = ("TZ", "LANG")
