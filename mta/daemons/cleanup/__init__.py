"""The cleanup daemon: the one door into the queue.

A client hands over envelope and content on a connection of its own. A message passes the stages

    envelope   who sends, who receives: gathered, bounded
    headers    trace and missing fields put before the message, loops and excess refused
    commit     sealed, on stable storage, acknowledged, the queue manager told

and is either committed under a queue id or refused with a status for the peer; a client that goes
away before the end leaves nothing behind.

STANDARDS: RFC 5321 (trace fields, 4.4; loop detection, 6.3), RFC 5322 (header section), RFC 3463.

SECURITY: clients are gossip: whatever bounds they should have kept are held here again. This daemon
writes to `incoming` and reads no mail that lies there.

DIAGNOSTICS: "committed" and "refused" a message; "commit_failed" and "queue_recovered" when the
disk fails.

CONFIGURATION PARAMETERS
    header_size_limit hopcount_limit ipc_timeout message_size_limit myhostname
"""
