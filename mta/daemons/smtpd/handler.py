"""What smtpd's sessions share, and how they come to be."""

import asyncio
import socket
from collections.abc import Callable

from mta.config.smtp_terms import greeting, limits
from mta.daemons.smtpd.envelope import Services
from mta.daemons.smtpd.session import SmtpSession
from mta.daemons.smtpd.storage import Storage
from mta.daemons.smtpd.terms import Terms
from mta.daemons.smtpd.tls import Certificate
from mta.ipc.cleanup import CleanupClient
from mta.ipc.rewrite import RewriteClient
from mta.master.session import Context
from mta.proto.relay import Networks
from mta.proto.smtp.server import TlsLevel

__all__ = ["SmtpdHandler"]


class SmtpdHandler:
    """Takes clients; satisfies mta.master.session.Handler."""

    def __init__(self, context: Context) -> None:
        parameters = context.parameters
        self._context = context
        self._rewrite = RewriteClient(context.loop, parameters.ipc_timeout, context.log)
        self._cleanup = CleanupClient(context.loop, parameters.ipc_timeout, context.log)
        self._services = Services(
            self._rewrite,
            self._cleanup,
            Networks(parameters.mynetworks),
            Storage(parameters, context.loop.time, context.log),
            parameters.smtpd_reject_unlisted_recipient,
        )
        self._opening: set[asyncio.Task[None]] = set()  # the loop itself does not keep tasks alive
        self._terms = Terms(
            service=context.service.name,
            hostname=parameters.myhostname,
            banner=greeting(parameters),
            timeout=parameters.smtpd_timeout,
            min_data_rate=parameters.smtpd_min_data_rate,
            limits=limits(parameters),
            soft_bounce=parameters.soft_bounce,
            tls=TlsLevel(parameters.smtpd_tls_security_level),
            certificate=Certificate(
                parameters.smtpd_tls_cert_file, parameters.smtpd_tls_key_file, context.log
            ),
        )

    async def start(self) -> None:
        """Read the certificate, so that what is wrong with it is said before the first client."""
        if self._terms.tls is not TlsLevel.NONE:
            self._terms.certificate.context()

    def connect(
        self, client: socket.socket, listener: str, finished: Callable[[], None]
    ) -> SmtpSession:
        """Greet a client."""
        del listener
        self._context.used()
        context = self._context
        session = SmtpSession(context.loop, context.log, self._terms, self._services, finished)
        self._opening.add(opening := context.loop.create_task(session.open(client)))
        opening.add_done_callback(self._opening.discard)
        return session

    def wake(self) -> None:
        """Nothing to look for: clients come by themselves."""

    async def stop(self) -> None:
        """Let go of the other services."""
        self._rewrite.close()
        self._cleanup.close()
