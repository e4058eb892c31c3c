"""Receives mail from the network and hands it to cleanup: clients in, queue ids out.

NAME
    smtpd - Posthouse SMTP server

DESCRIPTION
    Speaks SMTP with many clients at once. Each recipient is resolved by the rewrite service;
    envelope and content go to the cleanup service, and the client's 250 is cleanup's answer that
    the message is on stable storage. It never opens a queue file.

    session.py     one client: octets, events, time, back-pressure
    envelope.py    one transaction: MAIL, RCPT, DATA, the verdict
    terms.py       what holds for every session of the row
    tls.py         STARTTLS: the handshake, the certificate
    policy.py      who may send what where
    storage.py     whether the queue takes mail
    replies.py     what a client is told

SECURITY
    Talks to the network, so it trusts nothing and may touch nothing: the only files it may read are
    the certificate and its key, in whatever folders they lie, and it opens no network connection.
    It relays for clients in mynetworks only. What a client sends behind STARTTLS in plain text is
    discarded. The key should be 0640 root:mtatls, for smtpd is no root.

STANDARDS
    RFC 5321 (SMTP), 1870 (SIZE), 2034 (ENHANCEDSTATUSCODES), 2920 (PIPELINING), 3463 (enhanced
    status codes), 3207 (STARTTLS), 3848 (ESMTPS), 6152 (8BITMIME), 8996 (no TLS before 1.2).
    Deviations: mta.proto.smtp.grammar.

DIAGNOSTICS
    Logs connect, tls, tls_failed, reject, accepted, timeout and disconnect, with the client as
    [address]:port; and certificate_read, certificate_unusable: once for each change of the files.
    STARTTLS is answered 454 while there is no usable certificate. storage_refused: this process
    refuses mail before it is read, for the queue's file system is full, read-only or failing;
    storage_accepted: it takes mail again. MAIL is then answered 452 4.3.1, or 451 4.3.0 where
    cleanup said that; it is tried again by itself.

CONFIGURATION PARAMETERS
    myhostname mynetworks message_size_limit line_length_limit smtpd_banner
    smtpd_content_line_limit smtpd_recipient_limit smtpd_reject_unlisted_recipient smtpd_timeout
    smtpd_min_data_rate smtpd_hard_error_limit smtpd_tls_security_level smtpd_tls_cert_file
    smtpd_tls_key_file queue_minfree soft_bounce ipc_timeout

FILES
    smtpd_tls_cert_file, smtpd_tls_key_file - read at the start, and at a handshake after they were
    replaced
"""

from typing import Final

from mta.daemons.smtpd.handler import SmtpdHandler
from mta.master.daemon import Needs, run

__all__ = ["NEEDS"]

NEEDS: Final = Needs(replaced=("$smtpd_tls_cert_file", "$smtpd_tls_key_file"))

if __name__ == "__main__":
    run(needs=NEEDS, handler=SmtpdHandler)
