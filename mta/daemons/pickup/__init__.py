"""Takes mail from this host's users and programs and hands it to cleanup.

NAME
    pickup - Posthouse local mail pickup

DESCRIPTION
    There are two doors. Any user of the host may connect to public/pickup and say a message as one
    says it to cleanup; the answer is cleanup's, that the message is on stable storage. And whoever
    finds nobody there leaves a file in the maildrop, which may be a file server's folder that other
    hosts share: it is read when the master's wakeup time has come, when the daemon starts, and
    when a client of the socket says that there is a file.

    conversation.py   one client of the socket: frames in, back-pressure, the answer
    collector.py      the files: whose turn it is, what became of each
    folder.py         the maildrop itself: all that may block
    turns.py          files of many users in an order that lets none wait for another
    passage.py        one message on its way to cleanup, from either door
    lines.py          line ends
    report.py         what a sender hears of a file that cleanup refuses for good

    Whoever submits may choose the sender, as in Postfix; the log and the Received field name the
    user id, which for a file is that of its owner. Mail of a user who is not permitted to submit
    any (authorized_submit_users) is refused for good. Incomplete addresses are completed. No
    recipient is refused because it does not exist: a report tells the sender.

    A file is removed when cleanup has answered that its message is on stable storage, and files are
    committed and removed one by one: a crash in between makes one extra copy of one message. What
    cannot be read or committed now stays, and is tried again. What is no file of sendmail's goes to
    corrupt/ as it is, or where that lies on another file system to .corrupt of the maildrop; what
    cannot be moved either stays, and is looked at no more by this process. A file that cleanup
    refuses for good goes there too once its sender has been told. Names that begin with a dot are
    left alone: those are files in the making, and are removed when nobody has touched them for 36
    hours, by our clock and by that of the file system.

    In one turn a user's files are taken up to a number and a size; the others wait for the next
    turn, and the turns of all users are taken side by side.

SECURITY
    Both doors are open to everybody, and all that comes is gossip: it is bounded, its line ends
    are put right, and its origin is what the kernel says. In the maildrop no link is followed, and
    nothing is opened that is not a plain file of one name. Users can neither list the folder nor
    remove the files of others. A caller who says nothing for five minutes is let go.

STANDARDS
    RFC 5321, 4.4 (Received); RFC 3464 (reports).

DIAGNOSTICS
    submitted: a message is on stable storage; refused: it is not, with the status that a client of
    the socket was told. caller_limit: a user has too many conversations; caller_silent: one was let
    go. Of files: put_off (tried again), set_aside and not_moved, leftover_removed, returned and
    nobody_to_tell (refused for good); not_removed: committed, but its file could not be removed, so
    that nothing more is taken until it is gone. turn_full: some files wait for the next turn;
    look_failed: some could not be looked at. maildrop_unusable: the folder cannot be read, or
    cleanup takes nothing; all is tried again.

BUGS
    Where the file server does not answer, the files wait, and so does an ending process, until its
    time is over. A process that starts meanwhile waits a second, says folder_away, and serves its
    socket without the maildrop; once the server answers, and not before it is eleven seconds old,
    it retires for one that may use the folder. A single pickup may read a maildrop: two hosts that
    do so take messages twice. Where cleanup dies with its answer on the way, the file is taken
    again.

CONFIGURATION PARAMETERS
    authorized_submit_users header_size_limit ipc_timeout maildrop_directory
    maildrop_turn_file_limit maildrop_turn_size_limit message_size_limit myhostname
    pickup_user_concurrency_limit queue_minfree

FILES
    maildrop/ - files of users; pid/pickup.lock - one reader a maildrop
"""
