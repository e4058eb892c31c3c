"""The SMTP client: carries mail to other hosts.

NAME
    smtp - Posthouse's delivery agent for other hosts, over SMTP

DESCRIPTION
    Takes delivery requests of the queue manager, and delivers to the hosts of their nexthop:

        example.org  example.org:587         the domain's mail hosts, by MX
        [mail.example.org]  [192.0.2.1]:2525 this host, no MX looked at

    Hosts are tried by preference, those of equal preference in random order, until each recipient
    has been delivered or refused for good. A host that cannot be reached, puts recipients off (4xx)
    or greets with 5xx leaves them to the next one; at most smtp_mx_address_limit addresses are
    tried, and smtp_mx_session_limit sessions begun, not counting those that fail before the end of
    EHLO. What is left goes to the smtp_fallback_relay destinations, in order, and is deferred in
    the end.

    Fallback relays are for recipients whose destination was not found, could not be reached, or
    put them off. They are not used when a host refuses for good, when the domain takes no mail
    (null MX), nor for domains of which this host is a mail host itself: they would send the mail
    back.

    Mail loops when the best mail host of its domain is this one: that is told by an address at
    which a row of smtpd listens, on the port that would be connected to; by proxy_interfaces; and
    by myhostname as the name of a mail host. As a worse mail host this one sends to better ones
    only.

    Where relayhost, a fallback relay or another destination of the configuration does not exist,
    loops or greets with 5xx, mail waits until that is mended.

    After a delivery the session is kept for smtp_connection_cache_time_limit. The next message to
    the same nexthop, or to another domain with the same host among its best ones, uses it.

    Where smtp_generic_maps is set, the addresses of envelope and header leave as those tables have
    them; what is logged and reported bears the addresses of the queue.

    mta/delivery/client/   does all of this

SECURITY
    Talks to hosts that others name, so it trusts nothing and may touch nothing: it opens no file,
    listens nowhere, and reads messages through descriptors that come with the requests. It may
    connect to any TCP port, for a nexthop may name any.

STANDARDS
    RFC 5321 (SMTP) 5.1 (order of hosts, loops); RFC 7505 (null MX)

DIAGNOSTICS
    One event `delivery` a recipient, whose relay is HOST[ADDRESS]:PORT, or "none" where no host was
    tried; one event `tls` a session with encryption. 4.3.5: a destination of the configuration
    fails for good. 4.4.3: the DNS does not answer. 5.4.6: mail loops.

CONFIGURATION PARAMETERS
    default_destination_concurrency_limit dns_timeout header_size_limit inet_protocols ipc_timeout
    myhostname proxy_interfaces smtp_address_preference smtp_connect_timeout
    smtp_connection_cache_time_limit smtp_connection_reuse_time_limit smtp_data_done_timeout
    smtp_data_init_timeout smtp_data_xfer_timeout smtp_fallback_relay smtp_generic_maps
    smtp_helo_name smtp_helo_timeout smtp_mail_timeout smtp_mx_address_limit smtp_mx_session_limit
    smtp_rcpt_timeout smtp_rset_timeout smtp_starttls_timeout smtp_tcp_port smtp_tls_security_level
"""

from typing import Final

from mta.delivery.client.agent import RemoteAgent
from mta.master.daemon import Context, Needs, run

__all__ = ["NEEDS", "make_agent"]

NEEDS: Final = Needs(tcp_connect_any=True)


def make_agent(context: Context) -> RemoteAgent:
    """The handler."""
    return RemoteAgent(
        context.loop,
        context.snapshot,
        context.parameters,
        context.service,
        context.log,
        context.used,
        lmtp=False,
    )


if __name__ == "__main__":
    run(needs=NEEDS, handler=make_agent)
