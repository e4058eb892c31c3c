"""Receives mail from the network and hands it to cleanup: clients in, queue ids out.

NAME
    smtpd - Posthouse SMTP server

DESCRIPTION
    Speaks SMTP with many clients at once. Each recipient is resolved by the rewrite service;
    envelope and content go to the cleanup service, and the client's 250 is cleanup's answer that
    the message is on stable storage. It never opens a queue file.

    session.py     one client: octets, events, time, back-pressure
    envelope.py    one transaction: MAIL, RCPT, DATA, the verdict
    policy.py      who may send what where
    replies.py     what a client is told

SECURITY
    Talks to the network, so it trusts nothing and may touch nothing: it needs no file and opens no
    network connection. It relays for clients in mynetworks only.

STANDARDS
    RFC 5321 (SMTP), 1870 (SIZE), 2034 (ENHANCEDSTATUSCODES), 2920 (PIPELINING), 3463 (enhanced
    status codes), 6152 (8BITMIME). Deviations: mta.proto.smtp.grammar.

DIAGNOSTICS
    Logs connect, disconnect, reject and accepted, with the client as [address]:port.

CONFIGURATION PARAMETERS
    myhostname mynetworks message_size_limit line_length_limit smtpd_banner
    smtpd_content_line_limit smtpd_recipient_limit smtpd_timeout smtpd_min_data_rate
    smtpd_hard_error_limit ipc_timeout
"""

from typing import Final

from mta.daemons.smtpd.handler import SmtpdHandler
from mta.master.daemon import Needs, run

__all__ = ["NEEDS"]

NEEDS: Final = Needs()

if __name__ == "__main__":
    run(needs=NEEDS, handler=SmtpdHandler)
