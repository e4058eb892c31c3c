r"""The local delivery agent: aliases, .forward files and the mailboxes of this host's users.

NAME
    local - Posthouse's delivery agent for users of this host (Postfix: local(8))

DESCRIPTION
    Delivers mail for mydestination. The local part, in lower case, is looked up in alias_maps, with
    its extension and without; then comes the user's .forward file, then his mailbox. What these
    lead to is written as aliases(5) has it (mta.proto.aliases).

        expansion    whom and what mail is for: all decisions, without IO
        outlets      mailboxes, files, commands, other rows, nobody
        house        what both need of the world
        world        the services that this is asked of
        tables       alias_maps and the maps that go by user
        users        the user database

    The precedence is Postfix's: aliases, .forward, mailbox_transport_maps, mailbox_transport,
    mailbox_command_maps, mailbox_command, home_mailbox, mail_spool_directory; for who is no user
    fallback_transport_maps, fallback_transport, luser_relay.

    Addresses of other hosts, and those of this host that a .forward file, an :include: file or an
    alias with an owner names, get a new message by way of cleanup, on stable storage before
    the outcome is told. It begins with a Delivered-To field that names the recipient: who comes
    upon himself there is in a loop. All other fields of a mailbox's copy are as Postfix's.

    A recipient has one outcome. If a target must be tried again, so must the recipient, and targets
    that were served get another copy; otherwise the failure of any target is told to the sender.

SECURITY
    Runs as the queue's owner and opens no file of a user's: mailuser does, as that user, and runs
    the commands. Those that aliases name are run as default_privs, where root owns the table, or as
    its owner. What goes into an environment or a path has no character that a shell understands.
    Tables of patterns are asked for no alias: what a sender chose must not come into a command.

STANDARDS
    RFC 5321 3.9 (aliases and lists), 4.5.1 (postmaster); RFC 9228 (Delivered-To); sysexits.h

DIAGNOSTICS
    One event `delivery` a recipient; `forwarded` with the queue id of a new message;
    `target_failed` for each target that was not served; `forward_unsafe` for a .forward file
    that is not looked at, and why; `alias_missing` for a postmaster without an alias, whose mail
    is thrown away; `leads_nowhere` for an alias of an empty list, or what was served
    already; `tables_moved` as in rewrite.
    Deferrals: 4.3.0 a table, the user database, mailuser or cleanup gives no answer; 4.3.5 a
    parameter makes no sense; 4.6.0 more than 100000 targets. Bounces: 5.1.1 unknown user, 5.1.3 no
    address, 5.2.0 no name of a file, 5.3.5 an :include: file that cannot be read, or no command,
    5.4.6 a loop, 5.7.1 a command or file where none is allowed. Of mailboxes and commands: what
    mailuser says, and what exits.py makes of a command's end.

BUGS
    Mail for root needs an alias: nothing is done as root. An :include: file belongs to root or to
    the user whose rights are in force, and has 50000 octets at most. A failure of a command or file
    of an alias with an owner is told to the sender of the message, not to the owner.

CONFIGURATION PARAMETERS
    alias_maps allow_mail_to_commands allow_mail_to_files command_execution_directory
    command_time_limit default_privs delivery_timeout double_bounce_sender expand_owner_alias
    export_environment fallback_transport fallback_transport_maps forward_path
    header_size_limit home_mailbox ipc_timeout luser_relay mail_spool_directory mailbox_command
    mailbox_command_maps mailbox_delivery_lock mailbox_size_limit mailbox_transport
    mailbox_transport_maps owner_request_special propagate_unmatched_extensions
    recipient_delimiter

FILES
    ~/.forward  /var/mail/USER  /etc/passwd  those that the parameters' tables name
"""
