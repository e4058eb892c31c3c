"""Tells users of this host what is in the queue, and has it tried for them (Postfix: showq(8)).

NAME
    showq - Posthouse's list of the mail queue

DESCRIPTION
    Any user of the host may connect to public/showq; mailq and sendmail -q do, where they may not
    read the queue themselves. The kernel tells who it is.

        handler        who is served, and what he may ask for
        conversation   one client: the list goes as fast as he reads, and no faster
        portions       messages -> frames
        flushing       what is asked of the queue manager, in turns

    The list is read from the queue directory, the oldest message first, a frame at a time: a client
    who does not read holds a place and nothing else, for an hour at most. Damaged files are left
    out and counted. What moves or comes meanwhile may be listed or not.

    A request to try messages now is passed on to the queue manager. One at a time is, with a
    pause behind it, however many ask.

SECURITY
    Reads the queue's folders and may write nowhere. What comes over the socket is gossip. A user
    has few places, so that nobody takes them all. Who is on no list is refused with 5.7.1.

STANDARDS
    None.

DIAGNOSTICS
    listed: a list was told, with the number of messages and of damaged files; flushed: the queue
    manager was asked; refused: who was not permitted to, or why it failed. caller_limit: a user has
    too many conversations; caller_silent: one was let go.

BUGS
    The maildrop is not listed: what lies there is in no queue yet. A list of a very long queue
    looks through its folders once for each 20,000 messages.

CONFIGURATION PARAMETERS
    authorized_flush_users authorized_mailq_users ipc_timeout

FILES
    incoming/, deferred/, hold/ - queue files
"""
