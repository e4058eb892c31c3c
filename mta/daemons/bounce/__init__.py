"""The daemon that tells senders what became of their mail.

NAME
    bounce - Posthouse's delivery status reports

DESCRIPTION
    Answers `Report` on ipc:private/bounce, a request that brings the open queue file of a message.
    What is told comes from that file's journal alone:

        FAILURE   of the recipients that bounced and that no earlier report told of
        DELAY     of those that are still waiting

    The report (mta.proto.dsn) has the null sender, and enters the queue through cleanup as any
    mail does. The answer comes when it is on stable storage. Until then the message stays with the
    queue manager, which asks again: a crash may cost a second report, but never the first.

    A message from the null sender is a report itself: of its failure the postmaster is told, from
    double_bounce_sender. If that fails too there is nobody to tell, nor is there if the sender's
    address is none; the answer then is an empty queue id.

SECURITY
    Opens no file: it is passed one, and holds it to the rules for files of the queue
    (mta.queue.reader), so it must run as the user that the queue belongs to. Addresses and replies
    in it are gossip. Few reports are made at once, for the envelope of each is in memory; the
    content never is.

STANDARDS
    RFC 3464 (delivery status notifications), RFC 6522 (multipart/report), RFC 5321, 6.1 (to whom
    and from whom), RFC 3834, 5 (Auto-Submitted)

DIAGNOSTICS
    Events of the log: report; nobody_to_tell, with the reason. Whatever goes wrong is refused as
    temporary.

BUGS
    Under a message_size_limit of less than 16 KiB cleanup may refuse a report for its size.

CONFIGURATION PARAMETERS
    bounce_size_limit double_bounce_recipient double_bounce_sender header_size_limit ipc_timeout
    maximal_queue_lifetime message_size_limit myhostname
"""
