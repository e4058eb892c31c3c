"""The daemon that asks the DNS for all others, with one cache for all of them.

NAME
    resolver - the hosts that take mail for a domain, and the addresses of a host

DESCRIPTION
    Answers `FindMailHosts` and `FindAddresses` on ipc:private/resolver. A request passes

        names      it is a name, in one form; literal addresses and localhost are answered here
        cache      answered before, or being asked just now: nothing is asked twice
        lookups    a request becomes questions, and their answers a reply
        questions  one question to the name servers, which `servers` knows

    The answers are those of RFC 5321, 5.1: the hosts of the MX records by preference; the domain
    itself where it has none; a host without an address is left out, and so is one that is no host
    name but "." or an address. Only the best 100 hosts are looked at. Addresses are asked for as
    inet_protocols says.

    A domain that does not exist, has no address at all, or takes no mail (null MX) is refused for
    good. Where a name server fails, refuses, contradicts itself or is silent for dns_timeout, the
    refusal is temporary; but a domain some of whose hosts were found has those.

    The DNS is all that is asked: /etc/hosts is not read. `localhost` and what ends in it is this
    host, without a question (RFC 6761, 6.3).

    Answers are kept as long as their TTL says, at least 2 s and at most a day; that there is
    nothing, as long as the zone's SOA says (RFC 2308, 5), at most 5 minutes; a failure for 2 s, so
    that a queue full of mail for a dead zone does not ask for each message.

    `secure` repeats the name server's word that DNSSEC vouches for all of an answer (the AD flag),
    and only where it is on this host, for then nobody can have altered its word on the way.

    When /etc/resolv.conf changes, the process retires, and the next one reads the new file: its
    sandbox is made with it, and what another network's name servers said is forgotten.

SECURITY
    What the DNS says is gossip, like all names in requests: both are held to a host name's form
    and length. Asks from a new port with a new id each time; takes answers from the server that
    was asked, to the question that was asked. Opens no file but /etc/resolv.conf, and no TCP
    connection but to the ports of name servers.

STANDARDS
    RFC 1035 (DNS), 2308 (negative answers), 5321 5.1 (mail hosts), 6761 6.3 (localhost),
    6840 5.7 (AD in questions), 7505 (null MX)

BUGS
    Names are ASCII: internationalized ones must come as A-labels (RFC 5890).

CONFIGURATION PARAMETERS
    dns_servers dns_timeout inet_protocols

FILES
    /etc/resolv.conf   name servers, unless dns_servers names some
"""
