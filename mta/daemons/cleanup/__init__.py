"""The cleanup daemon: the one door into the queue.

A client hands over envelope and content on a connection of its own. A message passes the stages

    envelope    who sends, who receives: gathered, bounded
    rewriting   addresses of envelope and header rewritten, aliases expanded, copies added
    headers     trace and missing fields put before the message, loops and excess refused
    commit      sealed, on stable storage, acknowledged, the queue manager told

and is either committed under a queue id or refused with a status for the peer; a client that goes
away before the end leaves nothing behind.

STANDARDS: RFC 5321 (trace fields, 4.4; loop detection, 6.3; aliases, 3.9), RFC 5322 (header
section, addresses), RFC 3463.

SECURITY: clients are gossip: whatever bounds they should have kept are held here again. This daemon
writes to `incoming`, reads no mail that lies there, and opens no table: it asks rewrite.

DIAGNOSTICS: "committed" and "refused" a message, 451 where a table is out of order;
"commit_failed" and "queue_recovered" when the disk fails.

CONFIGURATION PARAMETERS
    always_bcc append_dot_mydomain canonical_maps header_size_limit hopcount_limit ipc_timeout
    local_header_rewrite_clients masquerade_domains message_size_limit myhostname myorigin
    recipient_bcc_maps recipient_canonical_maps remote_header_rewrite_domain sender_bcc_maps
    sender_canonical_maps virtual_alias_maps
"""
