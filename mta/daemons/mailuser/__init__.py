"""What is done as a user of this host: .forward read, mailboxes written, commands run.

NAME
    mailuser - Posthouse's one way to become a user

DESCRIPTION
    Takes typed requests (mta.ipc.messages: ReadFile, StoreMessage, RunCommand) from local and
    pickup, which decide what is to be done and can do nothing of it themselves. Each request is a
    process: it is forked, becomes the user for good, does the one thing, answers, and ends.

    server      the process that stays: it forks, passes answers on, and kills what is late
    backlog     requests that wait for a place
    child       the process of one request
    user        whom it may become, and how
    reading     files that a user wrote for us
    mailbox     mbox and Maildir, by the means of mta.delivery
    command     commands

    There is no event loop and no thread, so that a plain fork is safe and the child need not
    execute a fresh interpreter: what is copied is one quiet thread in poll(2) (mta.master.plain).
    A request costs four milliseconds of processor time so, and fifty more with an interpreter
    of its own.

SECURITY
    Run by root (a row with privileged: true), it may be asked by mail_owner alone: the kernel says
    who connects. What it is asked for is bounded by types; whoever has taken mail_owner over can
    have anything done as a user, and nothing as root.

    capabilities      KILL, SETGID and SETUID are kept, all others given up at start: a mistake of
                      this process opens no file that root alone may open. The bounding set stays
                      as it is, for it would bind what users run
    users             never root, never a user that a row runs as (mta.daemons.mailuser.user)
    becoming          supplementary groups, then all three gids, then all three uids, read back;
                      then root is asked for and must be refused. Nothing of the user's is touched
                      before that
    own files         read and written by a process that has the user's rights and no other, so
                      that no race with links or owners could win anything; for his mailbox in a
                      folder of root's that is open to group mail, as /var/mail is, the group mail
                      besides, and never for another name than the user's
    looked into       never: until an execve the child is not dumpable (ptrace(2))
    commands          umask 077; the environment that was asked for; no descriptor but the message,
                      and a pipe for output; signals as at login; no core files; at most 4096
                      processes of the user
    no_new_privs      set where a file is opened, for nothing is executed there. Not for commands,
                      since delivery helpers that are set-gid (procmail) work with it: so this
                      process cannot have it, nor Landlock, which needs it and would be inherited
    floods            at most client_limit processes at once, and a fourth of that for one user; as
                      many requests wait, a minute at most; each process has a deadline, and then
                      its process group is killed by root. What made a session of its own (a daemon
                      that a command started) goes on, as in Postfix

    Where an ordinary user runs the house, requests for that user are served and no others.

DIAGNOSTICS
    `request_refused` with the user and the reason; `child_killed` for one that was late;
    `stranger`, `ipc_malformed` as in all daemons. Temporary refusals: 4.3.0 no such user, or
    what cannot be known; 4.3.2 no place in a minute; 4.3.5 nothing is done as this user;
    of a mailbox 4.2.0, 4.2.2, 4.3.0, 4.3.1, and for good 5.2.2, its limit.

BUGS
    A delivery that was killed leaves the beginning of a message in an mbox, which an empty line
    parts from the next; the message comes again. Commands are not bound by mailbox_size_limit.
    A process that a dead file server holds cannot be killed, and keeps its place until then.

STANDARDS
    mbox(5), maildir(5), aliases(5), local(8) of Postfix

CONFIGURATION PARAMETERS
    myhostname
"""
