"""The delivery agent that hands mail to commands (Postfix: pipe(8)).

NAME
    pipe - Posthouse's delivery agent for external commands

DESCRIPTION
    A row of this daemon has a command, pipe_command in its settings, and runs it for each message:
    the message on standard input, no shell in between. A transport is such a row.

        arguments   the command's words, with macros replaced
        form        the message as pipe_flags want it
        runs        which recipients share a run, and what becomes of them

    Macros are ${name}, $name or $(name); $$ is a dollar sign.

        recipient original_recipient user extension mailbox domain    of the recipient
        sender nexthop queue_id size
        client_address client_port client_helo client_protocol client_hostname
        sasl_method sasl_sender sasl_username                         empty

    An argument with a macro of the recipient is repeated for each recipient of the run. Where the
    sender is null, ${sender} is pipe_null_sender. ${client_hostname} is "unknown": no name is
    looked up.

    The environment is PATH=/usr/bin:/bin and export_environment. Output beyond 4096 octets is
    dropped, and beyond a megabyte the command gets SIGPIPE. A command that ends before it has read
    all of its input has not failed; what it leaves running in the background is not waited for.

SECURITY
    Runs what the configuration names, with values that strangers choose. They are arguments of
    their own, never text for a shell; one that would begin an argument with "-", and so might pass
    for an option, is no address here: 5.1.3, of the sender 5.1.7. Who writes a command of
    `sh -c "... $sender"` gives this up.

    A row should have a user of its own: neither root nor mail_owner. Commands can read and execute
    what this user may, connect anywhere, and write below pipe_writable only. They gain no privilege
    by set-uid and set-gid files. All that run as this user may have 4096 processes, so that what
    forks for ever ends, and is killed with its process group when its time is up.

    Without root, the command has the user of all daemons, and can read the queue.

STANDARDS
    RFC 3463 (enhanced status codes); sysexits(3)

DIAGNOSTICS
    One event `delivery` a recipient, whose relay is the row. Exit status 0: delivered. 64 to 78: as
    sysexits.h has them; other ones, and a command that exceeds command_time_limit: bounced, 5.3.0.
    Death by a signal: deferred, 4.3.0. Output that begins with 4.X.X or 5.X.X decides instead, if
    the exit status is not 0. A command that cannot be started: deferred, 4.3.5.

BUGS
    In Postfix a command that floods, and one whose child keeps its output open, is killed when its
    time is up. Output that begins with 2.X.X bounces there if the exit status is not 0; here the
    exit status decides.

    The flag X has no effect: nobody is told of success as yet.

    Processes that leave the command's process group are not ended with it.

CONFIGURATION PARAMETERS
    command_time_limit delivery_timeout export_environment header_size_limit
    pipe_command pipe_destination_recipient_limit pipe_directory pipe_eol pipe_flags
    pipe_null_sender pipe_size_limit pipe_writable recipient_delimiter
"""
