"""The LMTP client: hands mail to the mail store of this site, such as Dovecot.

NAME
    lmtp - Posthouse's delivery agent for mail stores, over LMTP

DESCRIPTION
    Takes delivery requests of the queue manager, and delivers to their nexthop:

        unix:/run/dovecot/lmtp               a UNIX stream socket; a relative path lies in the
                                             queue directory
        inet:HOST:PORT  [HOST]  [HOST]:PORT  the addresses of this host
        HOST  HOST:PORT                      the same: LMTP knows no MX

    The port is 24 where none is named. A route that names no destination, as
    `virtual_transport: lmtp` does, leads to the host that is named as the recipient's domain.

    Addresses are tried in random order, or as smtp_address_preference says, until each recipient
    has been delivered or refused for good; the server says so for each of them. What is left is
    deferred. Sessions are kept for the next message, as those of smtp are.

    mta/delivery/client/   does all of this

SECURITY
    As smtp. The mode of a UNIX socket must let this row's user connect.

STANDARDS
    RFC 2033 (LMTP)

DIAGNOSTICS
    As smtp. The relay of a UNIX socket is MYHOSTNAME[PATH].

CONFIGURATION PARAMETERS
    default_destination_concurrency_limit dns_timeout inet_protocols ipc_timeout myhostname
    smtp_address_preference smtp_connect_timeout smtp_connection_cache_time_limit
    smtp_connection_reuse_time_limit smtp_data_done_timeout smtp_data_init_timeout
    smtp_data_xfer_timeout smtp_helo_name smtp_helo_timeout smtp_mail_timeout smtp_mx_address_limit
    smtp_mx_session_limit smtp_rcpt_timeout smtp_rset_timeout smtp_starttls_timeout
    smtp_tls_security_level
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
        lmtp=True,
    )


if __name__ == "__main__":
    run(needs=NEEDS, handler=make_agent)
