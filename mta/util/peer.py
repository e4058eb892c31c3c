"""Who is at the other end of a UNIX socket: the kernel's word, as of the moment of connecting."""

import array
import socket
from typing import Final

__all__ = ["peer_credentials"]

_SIZE: Final = 3 * array.array("i").itemsize  # struct ucred: pid, uid, gid (unix(7))


def peer_credentials(client: socket.socket) -> tuple[int, int]:
    """The process id and the user id of the peer."""
    data = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _SIZE)
    pid, uid, _ = array.array("i", data)
    return pid, uid
