"""Signals with the house's meaning: SIGHUP reloads, the first SIGTERM, SIGINT or SIGQUIT drains.

Supervisor's own answer to SIGHUP would close our listeners by their descriptors' numbers.
"""

import signal
from typing import Final

from mta.master.plugin.plugin import Master

__all__ = ["take_over_signals"]

_ENDINGS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


def take_over_signals(master: Master) -> None:
    """Stand between Supervisor and its signals; a second ending signal passes through."""
    options = master.options
    receive = options.get_signal

    def get_signal() -> int | None:
        number: int | None = receive()
        if number == signal.SIGHUP:
            master.ask_reload("received SIGHUP")
            return None
        if number in _ENDINGS and master.running and master.drain is None:
            master.ask_drain(f"received {signal.Signals(number).name}")
            return None
        return number

    options.get_signal = get_signal  # type: ignore[method-assign]
