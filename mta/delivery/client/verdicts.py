"""What the peer did, as a status for the queue and the log, in Postfix's words.

    what the peer did                          status           another host may be tried
    2yz                                        as it said       -
    4yz                                        as it said       yes
    5yz to MAIL, RCPT, DATA, the content       as it said       no: it would say the same
    5yz as greeting                            4yz instead      yes
    5yz to EHLO, HELO, LHLO                    as it said       yes
    lost, or too slow, before the final dot    4.4.2            yes
    lost, or too slow, after it                4.4.2            no: it may have the message
    what is no SMTP                            4.5.0            likewise

The greeting is that of a host, not of a domain (Postfix: smtp_skip_5xx_greeting). Texts are
printable ASCII and fit `Status`.
"""

from typing import Final

from mta.delivery.client.terms import Endpoint, Mail, Verdict
from mta.proto.smtp.client import fits_command
from mta.proto.smtp.client_events import Answer, Broken, Refused, Stage
from mta.proto.smtp.client_replies import Reply
from mta.proto.smtp.extensions import Extensions
from mta.proto.status import Status

__all__ = [
    "NOT_ASCII",
    "answered",
    "broken",
    "lost",
    "refused",
    "refused_session",
    "tls_failed",
    "tls_not_offered",
    "tls_refused",
    "too_slow",
    "unfit",
    "unreachable",
]

_TEXT_LIMIT: Final = 512  # characters of Status.text
_UNPRINTABLE: Final = dict.fromkeys((*range(32), 127), "?")

# RFC 6531, 3.7.4.2 and RFC 5248: what SMTPUTF8 would be needed for.
NOT_ASCII: Final = Verdict(Status(550, "5.6.7", "the address is not ASCII"), elsewhere=False)


def answered(endpoint: Endpoint, answer: Answer) -> Verdict:
    """The verdict that an answer of the server means."""
    reply = answer.reply
    if reply.code < 400:
        return Verdict(_status(reply.code, reply.enhanced, str(reply)), elsewhere=False)
    text = _said(endpoint, reply, answer.stage)
    return Verdict(_status(reply.code, reply.enhanced, text), elsewhere=reply.code < 500)


def refused(endpoint: Endpoint, refusal: Refused) -> Verdict:
    """The server ended the session without a look at the message: that is no recipient's fault."""
    code, enhanced = _soft(refusal.reply)
    return Verdict(
        _status(code, enhanced, _said(endpoint, refusal.reply, refusal.stage)), elsewhere=True
    )


def lost(endpoint: Endpoint, stage: Stage) -> Verdict:
    """The connection broke."""
    text = f"lost connection with {endpoint.host} while {stage.doing}"
    return Verdict(_status(451, "4.4.2", text), elsewhere=stage is not Stage.END)


def too_slow(endpoint: Endpoint, stage: Stage) -> Verdict:
    """The server took longer than the stage's timeout."""
    text = f"conversation with {endpoint.host} timed out while {stage.doing}"
    return Verdict(_status(451, "4.4.2", text), elsewhere=stage is not Stage.END)


def broken(endpoint: Endpoint, breach: Broken) -> Verdict:
    """The server did not speak SMTP."""
    text = f"{endpoint.host}: malformed reply while {breach.stage.doing}: {breach.fault}"
    return Verdict(_status(451, "4.5.0", text), elsewhere=breach.stage is not Stage.END)


def unfit(endpoint: Endpoint, mail: Mail, extensions: Extensions) -> Verdict | None:
    """Why the server need not be asked: it has said already that it cannot take such a message.

    Reads the content where that decides; MailError as from ContentReader.
    """
    limit, size = extensions.size_limit, mail.content.length
    if limit and size > limit:  # RFC 1870, 6.2
        text = f"message size {size} exceeds size limit {limit} of server {endpoint.host}"
        return Verdict(_status(552, "5.3.4", text), elsewhere=False)
    if mail.body_8bit and not extensions.body_8bit and not _is_7bit(mail):
        text = f"message has 8-bit content, but 8BITMIME was not offered by host {endpoint.host}"
        return Verdict(_status(554, "5.6.3", text), elsewhere=False)
    if not fits_command(mail.sender):
        return NOT_ASCII
    return None


def _is_7bit(mail: Mail) -> bool:
    """RFC 6152, 3: only what really has 8-bit octets must not go; we convert nothing."""
    return all(chunk.isascii() for chunk in mail.content.chunks())


# No session: statuses of SessionFailed


def unreachable(endpoint: Endpoint, reason: str) -> Status:
    """The connection could not be made."""
    return _status(451, "4.4.1", f"connect to {endpoint}: {reason}")


def refused_session(endpoint: Endpoint, refusal: Refused) -> Status:
    """The server does not want to talk to us, by its greeting or by its answer to EHLO."""
    reply = refusal.reply
    greeting = refusal.stage is Stage.GREETING
    code, enhanced = _soft(reply) if greeting else (reply.code, reply.enhanced)
    return _status(code, enhanced, f"host {endpoint.host} refused to talk to me: {reply}")


def tls_not_offered(endpoint: Endpoint) -> Status:
    """TLS is required, and the server has none."""
    return _status(450, "4.7.4", f"TLS is required, but was not offered by host {endpoint.host}")


def tls_refused(endpoint: Endpoint, reply: Reply) -> Status:
    """TLS is required, was offered, and then was not to be had."""
    text = f"TLS is required, but host {endpoint.host} refused to start TLS: {reply}"
    return _status(450, "4.7.4", text)


def tls_failed(endpoint: Endpoint, reason: str) -> Status:
    """TLS is required, and the handshake failed."""
    text = f"Cannot start TLS: handshake failure with host {endpoint.host}: {reason}"
    return _status(450, "4.7.5", text)


def _soft(reply: Reply) -> tuple[int, str]:
    """Code and enhanced code of the temporary reply that corresponds."""
    return 400 + reply.code % 100, f"4{reply.enhanced[1:]}"


def _said(endpoint: Endpoint, reply: Reply, stage: Stage) -> str:
    """The peer's words, cut where they would push out what they answer."""
    head, tail = f"host {endpoint.host} said: ", f" (in reply to {stage.command})"
    return f"{head}{str(reply)[: max(0, _TEXT_LIMIT - len(head) - len(tail))]}{tail}"


def _status(code: int, enhanced: str, text: str) -> Status:
    if not (text.isascii() and text.isprintable()):
        text = text.encode("ascii", "backslashreplace").decode().translate(_UNPRINTABLE)
    return Status(code, enhanced, text[:_TEXT_LIMIT])
