"""The delivery agent for virtual mailbox domains: mailboxes of people without a UNIX account.

NAME
    virtual - Posthouse's delivery agent for virtual mailboxes (Postfix: virtual(8))

DESCRIPTION
    Delivers to the mailbox of an address below virtual_mailbox_base. virtual_mailbox_maps says
    where that is: user+extension@domain, user@domain and @domain are asked for, and a value that
    ends in "/" is a Maildir's, any other one an mbox's. Without such tables it is the Maildir
    DOMAIN/USER/, USER being the local part in lower case, for every address of the domains.

        places      an address to the place of its mailbox
        mailboxes   a message to that place

    Folders are made as needed. The message gets Return-Path, X-Original-To and Delivered-To in
    front, and line ends as UNIX has them. A message that was delivered to the same address before
    (Delivered-To) loops, and bounces. What killed deliveries left in a Maildir's tmp/ is removed
    after 36 hours, when a process first delivers to the mailbox.

    An mbox is locked as virtual_mailbox_lock says, and no larger than virtual_mailbox_limit, as is
    no message in a Maildir. A Maildir with a quota has a file maildirsize, as Maildir++ has it, and
    its messages have their size in their names.

    All mailboxes are this row's user's: there are no virtual_uid_maps and virtual_gid_maps.

SECURITY
    Writes below virtual_mailbox_base and nowhere else. No folder is entered through a symbolic
    link. An address never names a path: without tables, a local part with "/" or NUL, or with a
    leading ".", has no mailbox. A table's value is gossip too: no "..", no absolute path.

    Reads tables that answer at once by itself, so that they must be readable for its user. Those
    that may block are asked through lookup, for which its user must be a member of private_group.

STANDARDS
    RFC 5321, 4.4 (Return-Path), 4.5.1 (postmaster); RFC 9228 (Delivered-To); maildir(5), mbox(5);
    Maildir++ (S. Varshavchik)

DIAGNOSTICS
    One event `delivery` a recipient. Problems of a mailbox are deferrals: 4.2.0 what is there is
    none, or it is locked, 4.2.2 full, 4.3.0 not writable, 4.3.1 no space, 4.3.5 not configured.
    Bounces: 5.1.1 no such address, 5.1.3 no mailbox can have that name, 5.2.2 it would exceed a
    limit, 5.4.6 loop.

BUGS
    A delivery to an mbox that is killed leaves a part of a message in it; the next one begins
    after an empty line.

CONFIGURATION PARAMETERS
    deliver_lock_attempts deliver_lock_delay header_size_limit ipc_timeout myhostname
    recipient_delimiter stale_lock_time virtual_mailbox_base virtual_mailbox_domains
    virtual_mailbox_limit virtual_mailbox_lock virtual_mailbox_maps virtual_maildir_quota
    virtual_maildir_quota_messages
"""
