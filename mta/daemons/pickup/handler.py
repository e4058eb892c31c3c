"""The daemon as the skeleton sees it: clients of the socket, and the maildrop beside them."""

import socket
from collections.abc import Callable

from mta.daemons.pickup.collector import Collector
from mta.daemons.pickup.conversation import Conversation
from mta.daemons.pickup.passage import Services
from mta.ipc.cleanup import CleanupClient
from mta.ipc.rewrite import RewriteClient
from mta.master.callers import Callers
from mta.master.daemon import Context
from mta.master.permission import Permission
from mta.queue.room import RoomWatch, least_free

__all__ = ["PickupHandler"]


class PickupHandler:
    """Takes clients and files; satisfies mta.master.session.Handler."""

    def __init__(self, context: Context) -> None:
        parameters, loop, log = context.parameters, context.loop, context.log
        self._context = context
        self._services = Services(
            CleanupClient(loop, parameters.ipc_timeout, log),
            RewriteClient(loop, parameters.ipc_timeout, log),
            Permission(
                parameters.authorized_submit_users, "submit mail", loop, parameters.ipc_timeout
            ),
            RoomWatch(loop.time),
            least_free(parameters.queue_minfree, parameters.message_size_limit),
            context.service.name,
            log,
        )
        self._callers = Callers(parameters.pickup_user_concurrency_limit, log)
        self._collector = Collector(context, self._services)

    async def start(self) -> None:
        """Look at the maildrop, and wait for nothing: its file server may be away."""
        self._collector.start()

    def connect(
        self, client: socket.socket, listener: str, finished: Callable[[], None]
    ) -> Conversation:
        """Serve one client; one of a user who has too many already is told Goodbye."""
        del listener
        caller = self._callers.receive(client, finished)
        conversation = Conversation(
            client,
            caller.uid,
            self._services,
            self._collector.look,
            used=self._context.used,
            finished=caller.finished,
        )
        if not caller.admitted:
            conversation.retire()
        return conversation

    def wake(self) -> None:
        """Look at the maildrop."""
        self._collector.look()

    async def stop(self) -> None:
        """Finish the file that is being committed, and let go of the other services."""
        await self._collector.stop()
        self._services.cleanup.close()
        self._services.rewrite.close()
        self._services.may_submit.close()
