"""The daemon that asks tables for others (Postfix: proxymap(8)).

NAME
    lookup - tables that may block, or that the asker may not read

DESCRIPTION
    Answers `Find` on ipc:private/lookup: what the tables of a parameter, as a row sees it, have for
    the first of some keys. A parameter and a row name the tables, never a client: what no parameter
    of the configuration in force names cannot be asked for.

        handler    which tables a request means
        quick      tables that answer at once are asked in the event loop
        blocking   sqlite and socketmap are asked in threads, a few for each list of tables, so that
                   one that is stuck keeps no other waiting

    Each request has nine tenths of ipc_timeout, so that the asker hears why there is no answer. A
    request that has waited as long for a thread is not begun. A program or a database that does not
    answer at all costs its threads, and the other tables nothing.

    A table that is missing, damaged, not readable, or too slow is refused with 451 4.3.0, and the
    log says which (table_failed): never is a key said to be missing that may be there.

    When a table moves to a folder that it had not lain in at the start (a link leads elsewhere, a
    sqlite file names another database), the process retires, and the next one may read that.

SECURITY
    What comes over the socket is gossip; so is what a database or a program answers: bounded, UTF-8
    and without NUL. Keys are bound to parameters of a query, and never become SQL. May read the
    folders of the configured tables alone, and connect to the TCP ports of socketmap tables alone.

STANDARDS
    sqlite_table(5), socketmap_table(5) of Postfix; netstrings (D. J. Bernstein)

BUGS
    A database in WAL mode can only be read while another program has it open, or where its folder
    has the files NAME-wal and NAME-shm.

CONFIGURATION PARAMETERS
    ipc_timeout

FILES
    those that the parameters' tables name
"""
