"""The daemon that says what becomes of an address, and where its mail goes.

NAME
    rewrite - addresses rewritten, expanded and routed

DESCRIPTION
    Answers on ipc:private/rewrite, from the tables that the parameters name. Postfix's
    documentation of all this is ADDRESS_REWRITING_README and ADDRESS_CLASS_README.

    `Rewrite` (cleanup, smtp): an address of an envelope or a header is completed with myorigin and,
    where append_dot_mydomain says so, mydomain; brought into its canonical form by the canonical
    tables, and masked by masquerade_domains. As mail leaves, smtp_generic_maps apply instead.

    `Expand` (cleanup): a recipient in its canonical form becomes those that virtual_alias_maps lead
    to. An address that expands to itself stops there.

    `Resolve` (smtpd, qmgr): the domain of an address is of a class, which names transport and
    nexthop:

        local     mydestination -> local_transport
        alias     virtual_alias_domains -> error: what is no alias does not exist
        virtual   virtual_mailbox_domains -> virtual_transport
        relay     relay_domains -> relay_transport
        default   all others -> default_transport; where it is empty, the answer has no
                  transport: this host carries no such mail

    The nexthop is what the transport names itself, but for mailboxes here else that of
    sender_dependent_relayhost_maps or relayhost, else the domain. transport_maps override both, and
    relocated_maps make it an error. smtpd hears as well whether the address exists: it is in the
    table of its class (local_recipient_maps, virtual_mailbox_maps, relay_recipient_maps), if there
    is one, or is rewritten to another.

    `postmaster` without a domain means postmaster at myhostname, whose mail is always taken: by
    virtual_transport, or on a host that delivers nothing itself (virtual_mailbox_domains is empty
    and the table has no row virtual_transport) in the class relay as other mail from here: by
    default_transport, or where that is empty by relay_transport.
    What is sent to double_bounce_sender at myhostname goes to the transport `discard`: it answers
    a report that nobody could be given, and a report on it would be the next turn of a loop.

    A table that gives no answer is a temporary failure, 451 4.3.0. Each answer bears an epoch,
    which is another one as soon as a table may have changed.

SECURITY
    Opens the tables that answer at once, for reading; the others are asked of the service lookup.
    Addresses and what tables hold are gossip: both are parsed, and expansions are bounded.

STANDARDS
    RFC 5321 4.1.2 (addresses), 4.5.1 (postmaster), 3.9 (aliases), 4.1.1.3 (source routes)

DIAGNOSTICS
    tables_moved: a table lies in a folder now that this process was not granted; it makes way.
    451 4.3.0 with the table and what is wrong with it, for the log of whoever asked; 451 4.6.0 with
    the address whose aliases or canonical forms do not end.

CONFIGURATION PARAMETERS
    append_dot_mydomain canonical_classes canonical_maps default_transport double_bounce_sender
    ipc_timeout local_recipient_maps local_transport masquerade_classes masquerade_domains
    masquerade_exceptions mydestination mydomain myhostname myorigin owner_request_special
    propagate_unmatched_extensions recipient_bcc_maps recipient_canonical_maps recipient_delimiter
    relay_domains relay_recipient_maps relay_transport relayhost relocated_maps sender_bcc_maps
    sender_canonical_maps sender_dependent_relayhost_maps smtp_generic_maps transport_maps
    virtual_alias_domains virtual_alias_expansion_limit virtual_alias_maps
    virtual_alias_recursion_limit virtual_mailbox_domains virtual_mailbox_maps virtual_transport
"""
