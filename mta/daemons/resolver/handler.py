"""The daemon as the skeleton sees it: requests in, replies out, and an eye on resolv.conf."""

from collections.abc import Awaitable
from typing import Final

from mta.daemons.resolver.cache import Reply, Request
from mta.daemons.resolver.lookups import Lookups
from mta.daemons.resolver.questions import Questions
from mta.daemons.resolver.servers import RESOLV_CONF, ResolvConf, make_resolver
from mta.ipc.connection import Descriptors
from mta.ipc.messages import ResolverRequest
from mta.ipc.server import RequestServer
from mta.master.daemon import Context
from mta.util.nameserver import parse_name_server

__all__ = ["ResolverHandler"]

CONCURRENCY: Final = 500  # requests of one client in hand: those for dead zones stop no others


class ResolverHandler(RequestServer[Request]):
    """Answers at once what is known, and later what has to be asked."""

    def __init__(self, context: Context, resolv_conf: str = RESOLV_CONF) -> None:
        super().__init__(
            ResolverRequest, context.log, context.used, self._answer, concurrency=CONCURRENCY
        )
        parameters = context.parameters
        servers = [parse_name_server(text) for text in parameters.dns_servers]
        self._log = context.log
        self._retire = context.retire
        # Before the file is read: what changes in between is noticed.
        self._resolv_conf = None if servers else ResolvConf(context.loop, resolv_conf)
        resolver = make_resolver(servers, resolv_conf, context.log)
        questions = Questions(resolver, parameters.dns_timeout)
        self._lookups = Lookups(context.loop, questions, parameters.inet_protocols)

    def _answer(self, request: Request, _: Descriptors) -> Reply | Awaitable[Reply]:
        if self._resolv_conf is not None and self._resolv_conf.has_changed():
            self._log.info("resolv_conf_changed", path=self._resolv_conf.path)
            self._retire()
        return self._lookups.answer(request)
