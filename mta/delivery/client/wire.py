"""The connection under a client's session: octets in both directions, and waiting for them.

At most one task waits at a time. It is woken when octets came, when the peer reads again, or when
the connection is lost; or told that its time is over.
"""

import asyncio
import typing
from typing import Final, cast

if typing.TYPE_CHECKING:
    import ssl

__all__ = ["Wire"]

_SHUTDOWN_TIME: Final = 5.0  # seconds for the end of TLS, which the peer may never confirm


class Wire(asyncio.Protocol):
    """One connection; `received` gathers what came, `lost` tells that it is over, and why."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._received: list[bytes] = []
        self._waiter: asyncio.Future[bool] | None = None
        self.congested = False  # the peer does not take what we send
        self.lost = False

    async def wait(self, deadline: float) -> bool:
        """Wait until something changed; False when it is `deadline`, in the loop's time."""
        if self._received or self.lost:
            return True
        self._waiter = self._loop.create_future()
        timer = self._loop.call_at(deadline, self._wake, False)
        try:
            return await self._waiter
        finally:
            self._waiter = None
            timer.cancel()

    def take(self) -> bytes:
        """What came since the last call."""
        data = b"".join(self._received)
        self._received.clear()
        return data

    def write(self, data: bytes) -> None:
        """Send, without waiting; `congested` tells when it is time to wait."""
        if self._transport is not None and not self.lost:
            self._transport.write(data)

    def close(self) -> None:
        """Send what is not sent yet, and close."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    async def encrypt(self, context: "ssl.SSLContext", name: str | None, patience: float) -> str:
        """Shake hands within `patience` seconds; return "VERSION with cipher NAME".

        OSError, of which SSLError is one, when that fails.
        """
        assert self._transport is not None
        transport = await self._loop.start_tls(
            self._transport,
            self,
            context,
            server_hostname=name,
            ssl_handshake_timeout=patience,
            ssl_shutdown_timeout=_SHUTDOWN_TIME,
        )
        if transport is None:
            raise ConnectionResetError("the connection was lost")
        self._transport = transport
        cipher, version, _ = transport.get_extra_info("cipher")
        return f"{version} with cipher {cipher}"

    # What the transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection lives."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Octets came."""
        self._received.append(data)
        self._wake(True)

    def pause_writing(self) -> None:
        """The peer does not keep up."""
        self.congested = True

    def resume_writing(self) -> None:
        """It does again."""
        self.congested = False
        self._wake(True)

    def connection_lost(self, error: Exception | None) -> None:
        """The end, whoever wanted it."""
        del error
        self.lost = True
        self._wake(True)

    def _wake(self, changed: bool) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(changed)
