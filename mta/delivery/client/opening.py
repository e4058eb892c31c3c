"""From an endpoint to a session that may carry a message: connect, greeting, EHLO, STARTTLS.

    tls_level   not offered   refused, or failed           done
    none        -             -                            -
    may         plain text    once more, in plain text     TLS
    encrypt     no session    no session                   TLS

Once more means a new connection: what is left of the old one is in no state that both sides would
agree on. That holds for all that goes wrong from STARTTLS up to the answer to EHLO behind it. A
UNIX socket needs no TLS.
"""

import asyncio
import os

from mta.delivery.client import verdicts
from mta.delivery.client.connection import Connection, Interrupted, connect
from mta.delivery.client.terms import Endpoint, SessionFailed, Terms
from mta.proto.smtp.client import ClientEngine
from mta.proto.smtp.client_events import Broken, Ready, Refused, Stage, StartTls
from mta.proto.status import Status

__all__ = ["open_connection"]


async def open_connection(
    loop: asyncio.AbstractEventLoop, endpoint: Endpoint, terms: Terms
) -> tuple[Connection, ClientEngine]:
    """A connection whose engine is ready; SessionFailed."""
    level = terms.tls_level if endpoint.port else "none"
    engine = ClientEngine(terms.helo_name, lmtp=terms.lmtp, starttls=level != "none")
    try:
        connection = await _attempt(loop, endpoint, terms, engine)
    except SessionFailed:
        if level != "may" or not engine.starttls_said:
            raise
        engine = ClientEngine(terms.helo_name, lmtp=terms.lmtp)
        connection = await _attempt(loop, endpoint, terms, engine)
    if level == "encrypt" and not connection.tls:
        engine.quit()
        connection.close()
        raise SessionFailed(verdicts.tls_not_offered(endpoint))
    return connection, engine


async def _attempt(
    loop: asyncio.AbstractEventLoop, endpoint: Endpoint, terms: Terms, engine: ClientEngine
) -> Connection:
    try:
        connection = await connect(loop, endpoint, engine, terms)
    except OSError as error:
        reason = "Connection timed out" if isinstance(error, TimeoutError) else _reason(error)
        raise SessionFailed(verdicts.unreachable(endpoint, reason)) from error
    try:
        status = await _introduce(endpoint, engine, connection)
    except BaseException:
        connection.abort()
        raise
    if status is not None:
        connection.close()
        raise SessionFailed(status)
    return connection


async def _introduce(
    endpoint: Endpoint, engine: ClientEngine, connection: Connection
) -> Status | None:
    """Talk until the engine is ready; or why it will not be."""
    try:
        while not isinstance(event := await connection.event(), Ready):
            match event:
                case StartTls():
                    await connection.start_tls()
                    engine.tls_started()
                case Refused(Stage.STARTTLS, reply):
                    return verdicts.tls_refused(endpoint, reply)
                case Refused():
                    return verdicts.refused_session(endpoint, event)
                case Broken():
                    return verdicts.broken(endpoint, event).status
            connection.send()
    except Interrupted as end:
        verdict = verdicts.too_slow if end.timed_out else verdicts.lost
        return verdict(endpoint, end.stage).status
    except OSError as error:
        connection.abort()
        return verdicts.tls_failed(endpoint, _reason(error))
    return None


def _reason(error: OSError) -> str:
    """Postfix's words for it: those of the C library."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
