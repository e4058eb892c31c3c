"""TCP ports for tests, which may run side by side."""

import random
import socket

__all__ = ["free_port"]

_TRIES = 100


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on.

    It lies below the range that the kernel takes client ports from (32768 and up): no outgoing
    connection of any test can hold it when the daemon binds it.
    """
    for _ in range(_TRIES):
        port = random.randint(12000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError(f"no free port in {_TRIES} tries")
