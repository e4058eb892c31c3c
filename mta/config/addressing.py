"""Parameters of addresses: how they are completed, rewritten and routed (ADDRESS_REWRITING_README).

    canonical, masquerade       all addresses of a message, as it comes in
    bcc, virtual alias          recipients, as it comes in
    classes, transport, relay   where a recipient's mail goes
    generic                     all addresses, as it leaves over SMTP

Where a parameter takes tables, each is TYPE:NAME (mta.lookup.syntax), and they are asked in order.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from mta.config.types import Domain, Network, NextHop, TableNames, Transport, Used

__all__ = ["Addressing"]

_LABELS = r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
MaybeDomain = Annotated[
    str,
    Meta(
        title="a domain name in lower case, or nothing",
        max_length=253,
        pattern=rf"\A(?:{_LABELS})?\Z",
    ),
]
MasqueradeDomain = Annotated[
    str,
    Meta(
        title="a domain name in lower case, or !DOMAIN",
        max_length=254,
        pattern=rf"\A!?{_LABELS}\Z",
    ),
]
RecipientDelimiter = Annotated[
    str,
    Meta(
        title="up to eight characters of !#$%&'+*-./=?^_`{|}~",
        max_length=8,
        pattern=r"\A[!#$%&'+*\-./=?^_`{|}~]*\Z",
    ),
]
BccAddress = Annotated[
    str, Meta(title="an address, or nothing", max_length=320, pattern=r"\A[!-~ ]*\Z")
]
LocalPart = Annotated[
    str, Meta(title="a local part", min_length=1, max_length=64, pattern=r"\A[ -~]+\Z")
]
AddressClasses = tuple[
    Literal["envelope_sender", "envelope_recipient", "header_sender", "header_recipient"], ...
]


class Addressing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The part of `Parameters` that addresses are treated by."""

    mydomain: Annotated[
        MaybeDomain,
        Meta(
            description="The domain of this site: what append_dot_mydomain completes names with. "
            "Empty: myhostname without its first label, or all of it where that would leave no "
            "dot.",
        ),
        Used("rewrite"),
    ] = ""
    myorigin: Annotated[
        MaybeDomain,
        Meta(
            description="The domain of addresses that come without one, such as those that "
            "programs on this host write. Empty: myhostname.",
        ),
        Used("rewrite", "cleanup"),
    ] = ""
    append_dot_mydomain: Annotated[
        bool,
        Meta(
            description="Whether a domain without a dot is completed with mydomain, in the "
            "addresses that local_header_rewrite_clients send. It makes a mistake into another "
            "address; Postfix has long had it off.",
        ),
        Used("rewrite", "cleanup"),
    ] = False
    recipient_delimiter: Annotated[
        RecipientDelimiter,
        Meta(
            description="The characters that part a user from an extension in a local part: where "
            "+ is one, mail for bob+lists is looked up as bob+lists first, then as bob. Of "
            "several, the one that comes first in an address parts it. Empty: there are no "
            "extensions.",
        ),
        Used("local", "pipe", "rewrite", "virtual"),
    ] = ""
    propagate_unmatched_extensions: Annotated[
        tuple[Literal["canonical", "virtual", "alias", "forward", "include", "generic"], ...],
        Meta(
            description="The steps that append an extension to the result where the table, or the "
            "name of the file, has the address without it: rewriting, aliases, .forward and "
            ":include: files.",
        ),
        Used("local", "rewrite"),
    ] = ("canonical", "virtual")
    local_header_rewrite_clients: Annotated[
        tuple[Network, ...],
        Meta(
            description="The networks whose clients send messages with header fields to be "
            "rewritten: incomplete addresses are completed, canonical_maps and "
            "masquerade_domains apply. Mail that programs on this host make is such, too. What "
            "others send keeps its header, so that no signature breaks.",
        ),
        Used("cleanup"),
    ] = ("127.0.0.0/8", "::1/128")
    remote_header_rewrite_domain: Annotated[
        MaybeDomain,
        Meta(
            description="The domain that completes addresses without one in the headers of all "
            "other clients' messages, such as domain.invalid. Empty: they stay as they are.",
        ),
        Used("cleanup"),
    ] = ""
    canonical_maps: Annotated[
        TableNames,
        Meta(
            description="Tables that replace addresses by their public form, in envelopes and "
            "headers: user@domain, user (of a domain of this host), @domain.",
        ),
        Used("rewrite", "cleanup"),
    ] = ()
    sender_canonical_maps: Annotated[
        TableNames,
        Meta(
            description="As canonical_maps, for addresses of senders alone; asked before it.",
        ),
        Used("rewrite", "cleanup"),
    ] = ()
    recipient_canonical_maps: Annotated[
        TableNames,
        Meta(
            description="As canonical_maps, for addresses of recipients alone; asked before it.",
        ),
        Used("rewrite", "cleanup"),
    ] = ()
    canonical_classes: Annotated[
        AddressClasses,
        Meta(
            description="The addresses that canonical_maps applies to: those of the envelope, of "
            "header fields, or of some of them.",
        ),
        Used("rewrite"),
    ] = ("envelope_sender", "envelope_recipient", "header_sender", "header_recipient")
    masquerade_domains: Annotated[
        tuple[MasqueradeDomain, ...],
        Meta(
            description="Domains whose subdomains are stripped off: user@host.example.com becomes "
            "user@example.com. The first that fits counts; one with ! in front keeps what is "
            "below it.",
        ),
        Used("rewrite", "cleanup"),
    ] = ()
    masquerade_exceptions: Annotated[
        tuple[LocalPart, ...],
        Meta(
            description="Local parts that masquerade_domains leaves alone, such as root.",
        ),
        Used("rewrite"),
    ] = ()
    masquerade_classes: Annotated[
        AddressClasses,
        Meta(
            description="The addresses that masquerade_domains applies to. Recipients of the "
            "envelope are none of them, so that mail for a single host can still be sent there.",
        ),
        Used("rewrite"),
    ] = ("envelope_sender", "header_sender", "header_recipient")
    virtual_alias_maps: Annotated[
        TableNames,
        Meta(
            description="Tables that send mail for one address to others, of any domain: "
            "user@domain, user (of a domain of this host), @domain. What comes out is looked up "
            "again.",
        ),
        Used("rewrite", "cleanup"),
    ] = ()
    virtual_alias_domains: Annotated[
        tuple[Domain, ...],
        Meta(
            description="Domains of which all addresses are in virtual_alias_maps; mail for any "
            "other address there is refused. Unlike Postfix, which takes the keys of "
            "virtual_alias_maps, none unless it is set.",
        ),
        Used("rewrite"),
    ] = ()
    virtual_alias_recursion_limit: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="How often the results of virtual_alias_maps are looked up again. Beyond "
            "it the message is put off with 451, for its aliases go round in circles.",
        ),
        Used("rewrite"),
    ] = 1000
    virtual_alias_expansion_limit: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="The most recipients that one recipient may become by virtual_alias_maps. "
            "Beyond it the message is put off with 451.",
        ),
        Used("rewrite"),
    ] = 1000
    smtp_generic_maps: Annotated[
        TableNames,
        Meta(
            description="Tables that replace addresses when mail leaves over SMTP, in envelope "
            "and header: for hosts whose own addresses mean nothing elsewhere. The forms are "
            "those of canonical_maps.",
        ),
        Used("rewrite", "smtp"),
    ] = ()
    relocated_maps: Annotated[
        TableNames,
        Meta(
            description="Tables of addresses that have moved: user@domain, user (of a domain of "
            "this host), @domain. The value is told to the sender: User has moved to VALUE.",
        ),
        Used("rewrite"),
    ] = ()
    transport_maps: Annotated[
        TableNames,
        Meta(
            description="Tables that name transport and nexthop for an address, a domain, a "
            "domain's subdomains (.domain) or all mail (*), as ROW:NEXTHOP; where one of the two "
            "is missing, it is that of the address's class.",
        ),
        Used("rewrite"),
    ] = ()
    sender_dependent_relayhost_maps: Annotated[
        TableNames,
        Meta(
            description="Tables that name a relayhost by the sender: user@domain, @domain. DUNNO "
            "leaves relayhost in force.",
        ),
        Used("rewrite", "qmgr"),
    ] = ()
    always_bcc: Annotated[
        BccAddress,
        Meta(
            description="An address that gets a copy of every message; reports that are made here "
            "are no such.",
        ),
        Used("cleanup"),
    ] = ""
    sender_bcc_maps: Annotated[
        TableNames,
        Meta(
            description="Tables that name the address of a copy by the sender: user@domain, user "
            "(of a domain of this host), @domain.",
        ),
        Used("rewrite", "cleanup"),
    ] = ()
    recipient_bcc_maps: Annotated[
        TableNames,
        Meta(
            description="Tables that name the address of a copy by the recipient: user@domain, "
            "user (of a domain of this host), @domain.",
        ),
        Used("rewrite", "cleanup"),
    ] = ()
    virtual_mailbox_domains: Annotated[
        tuple[Domain, ...],
        Meta(
            description="Domains whose mail is delivered here. Everybody may send to them, and "
            "every local part has a mailbox. A domain must be in one place only."
        ),
        Used("rewrite", "virtual"),
    ] = ()
    virtual_transport: Annotated[
        Transport,
        Meta(
            description="The row that delivers mail for virtual_mailbox_domains, as ROW or "
            "ROW:NEXTHOP: virtual writes Maildirs, lmtp hands mail to a mail store, such as "
            "lmtp:unix:/run/dovecot/lmtp."
        ),
        Used("rewrite"),
    ] = "virtual"
    relay_domains: Annotated[
        tuple[Domain, ...],
        Meta(
            description="Domains whose mail is taken from anybody and sent on to another host, "
            "which has their mailboxes."
        ),
        Used("rewrite"),
    ] = ()
    relay_transport: Annotated[
        Transport,
        Meta(
            description="The row that carries mail for relay_domains, with an optional nexthop "
            "(such as outbound:[hub.example.com]); without one it goes to relayhost, or where that "
            "is empty to the domain's own mail hosts."
        ),
        Used("rewrite"),
    ] = "outbound"
    default_transport: Annotated[
        Transport,
        Meta(
            description="The row that carries mail for other domains, as ROW or ROW:NEXTHOP; a "
            "nexthop here goes before relayhost. Empty: mail for other domains is refused, even "
            "from mynetworks."
        ),
        Used("rewrite"),
    ] = "outbound"
    relayhost: Annotated[
        NextHop,
        Meta(
            description="Where mail for other domains goes, unless default_transport names a "
            "nexthop of its own: a provider's or a company's mail host. A bare DOMAIN is looked "
            "up by MX; a HOST in brackets is not, and may have a port, [HOST]:587. Empty: to each "
            "domain's own mail hosts."
        ),
        Used("rewrite"),
    ] = ""
    mydestination: Annotated[
        tuple[Domain, ...],
        Meta(
            description="The domains of this host's own users, whose mail goes to "
            "local_transport. Unlike Postfix, none unless it is set.",
        ),
        Used("rewrite"),
    ] = ()
    local_transport: Annotated[
        Transport,
        Meta(
            description="The row that delivers mail for mydestination, as ROW or ROW:NEXTHOP: "
            "local knows aliases, .forward files and the mailboxes of this host's users.",
        ),
        Used("rewrite"),
    ] = "local"
    local_recipient_maps: Annotated[
        TableNames,
        Meta(
            description="Tables of all addresses that exist in mydestination; what is in none of "
            "them, nor in virtual_alias_maps, is refused with 550 when a client names it. Where it "
            "is not set and the row of local_transport is one of local: unix:passwd.byname and the "
            "tables of alias_maps. An empty list: every address there is taken, and local returns "
            "mail for those that do not exist.",
        ),
        Used("rewrite", default="the users and aliases of this host, where local delivers"),
    ] = ()
    relay_recipient_maps: Annotated[
        TableNames,
        Meta(
            description="Tables of all addresses that exist in relay_domains; what is in none of "
            "them, nor in virtual_alias_maps, is refused with 550 when a client names it. Empty: "
            "every address there is taken.",
        ),
        Used("rewrite"),
    ] = ()
    virtual_mailbox_maps: Annotated[
        TableNames,
        Meta(
            description="Tables of all addresses that exist in virtual_mailbox_domains, and of "
            "their mailboxes: a path below virtual_mailbox_base, which ends in / for a Maildir. "
            "What is in none of them, nor in virtual_alias_maps, is refused with 550 when a client "
            "names it. Empty: every address there is taken, and has the Maildir DOMAIN/USER/.",
        ),
        Used("rewrite", "virtual"),
    ] = ()
    smtpd_reject_unlisted_recipient: Annotated[
        bool,
        Meta(
            description="Whether a recipient that is in none of its domain's tables is refused "
            "when a client names it. Otherwise a report tells the sender later, who may be "
            "anybody.",
        ),
        Used("smtpd"),
    ] = True
