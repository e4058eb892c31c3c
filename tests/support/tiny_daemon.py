"""A daemon with next to no work, to watch the skeleton: it answers lines on any listener.

Each connection is one unit of work. Lines from the client: `idle`, `busy`, `again` (finish twice),
`boom` (an exception in a callback), `read PATH`, `write PATH`, `rename PATH PATH`, `run`,
`connect PORT`, `quit`; anything else is echoed. Requests of the skeleton are told to the client.
A row named `faulty` fails to take its first client, `broken` fails to start, `slow` never starts.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Final

from mta.master.daemon import Context, Needs, Pace, run

NEEDS: Final = Needs(read=("readable",), write=("writable", "$log_file/.."))


class TinySession:
    def __init__(
        self, handler: "TinyHandler", client: socket.socket, finished: Callable[[], None]
    ) -> None:
        self.idle = False
        self._handler = handler
        self._client = client
        self._finished = finished
        self._open = True
        self._data = b""
        handler.loop.add_reader(client, self._readable)

    def retire(self) -> None:
        self.say("retire")

    def expire(self) -> None:
        self.say("expire")
        self._end()

    def abort(self) -> None:
        self.say("abort")
        self._end()

    def say(self, text: str) -> None:
        if self._open:
            self._client.send(text.encode() + b"\n")

    def _readable(self) -> None:
        chunk = self._client.recv(4096)
        self._data += chunk
        *lines, self._data = self._data.split(b"\n")
        for line in lines:
            self._obey(line.decode())
        if not chunk:
            self._end()

    def _obey(self, line: str) -> None:
        command, *arguments = line.split(" ")
        match command:
            case "idle" | "busy":
                self.idle = command == "idle"
                self.say("ok")
            case "again":
                self._finished()
                self._end()
            case "boom":
                raise RuntimeError("boom")
            case "quit":
                self.say("bye")
                self._end()
            case "read" | "write" | "rename" | "run" | "connect":
                self.say(_attempt(command, arguments))
            case _:
                self.say(line)

    def _end(self) -> None:
        if self._open:
            self._open = False
            self._handler.loop.remove_reader(self._client)
            self._handler.sessions.discard(self)
            self._client.close()
            self._finished()


def _attempt(command: str, arguments: list[str]) -> str:
    """Try what the sandbox may forbid, and tell how it went."""
    try:
        match command:
            case "read":
                with open(arguments[0], "rb") as file:
                    file.read(1)
            case "write":
                with open(arguments[0], "wb") as file:
                    file.write(b"x")
            case "rename":
                os.rename(*arguments)
            case "run":
                os.posix_spawn("/bin/true", ["true"], {})
            case "connect":
                socket.create_connection(("127.0.0.1", int(arguments[0])), 5).close()
    except OSError as error:
        return str(error.strerror)
    return "done"


class TinyHandler:
    def __init__(self, context: Context) -> None:
        self.loop = context.loop
        self.sessions: set[TinySession] = set()
        self._context = context
        self._clients = 0

    async def start(self) -> None:
        if self._context.service.name == "broken":
            raise OSError("cannot start today")
        if self._context.service.name == "slow":
            self._context.log.info("starting")
            await asyncio.sleep(3600)

    def connect(
        self, client: socket.socket, listener: str, finished: Callable[[], None]
    ) -> TinySession:
        self._clients += 1
        if self._context.service.name == "faulty" and self._clients == 1:
            raise RuntimeError("no such luck")
        assert not client.getblocking()
        assert not client.get_inheritable()
        session = TinySession(self, client, finished)
        self.sessions.add(session)
        self._context.used()
        session.say(f"hello {listener}")
        return session

    def wake(self) -> None:
        for session in self.sessions:
            session.say("wake")

    async def stop(self) -> None:
        self._context.log.info("stopped")


if __name__ == "__main__":
    expire, abort = (float(text) for text in os.environ.get("PACE", "60 300").split())
    run(needs=NEEDS, handler=TinyHandler, pace=Pace(expire=expire, abort=abort))
