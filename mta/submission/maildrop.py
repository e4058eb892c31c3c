"""The door without a system behind it: a file in the maildrop, which may lie on a file server.

A file server that is away stops whoever touches it, for ever and beyond any signal. So a child
does, and the parent waits for it within bounds. The child holds nothing of the caller's open: no
shell waits for it. What it may do it is told step by step, and it does nothing that its parent no
longer waits for:

    parent  data ... seal        publish
    child             sealed              published

If the parent has given up when the file got its name, the child takes it back; only what pickup has
taken by then is mail that was reported as failed, and would be a second copy.
"""

import contextlib
import os
import select
import socket
import stat
from typing import Final, NoReturn

from mta.queue.maildrop import MaildropEncoder, Submission
from mta.queue.maildrop_writer import MaildropWriter
from mta.submission.errors import SubmissionError, unavailable

__all__ = ["MaildropDoor"]

_DATA: Final = b"d"
_SEAL: Final = b"s"
_PUBLISH: Final = b"p"
_ERROR: Final = b"e"
_PIECE: Final = 32_768  # octets of a packet
_PACKET_LIMIT: Final = _PIECE + 1
_WORLD_WRITABLE: Final = stat.S_ISVTX | stat.S_IWOTH


class MaildropDoor:
    """One message into a file: a Door."""

    def __init__(self, folder: str, submission: Submission, timeout: float) -> None:
        self._folder = folder
        self._timeout = timeout
        try:
            self._encoder = MaildropEncoder(submission)
        except ValueError as error:
            raise SubmissionError(f"too many recipients: {error}", os.EX_UNAVAILABLE) from error
        try:
            self._peer, own = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self.child = os.fork()
        except OSError as error:
            raise unavailable(f"maildrop: {error}") from error
        if not self.child:
            self._peer.close()
            _serve(own, folder, submission.host)
        own.close()
        self._peer.setblocking(False)
        try:
            self._write(self._encoder.opening())
        except SubmissionError:
            self.close()
            raise

    def write(self, data: bytes) -> None:
        """Add content."""
        self._write(self._encoder.content(data))

    def commit(self) -> None:
        """Have the file flushed and named."""
        self._write(self._encoder.ending())
        self._tell(_SEAL)
        self._expect(_SEAL)
        self._tell(_PUBLISH)
        self._expect(_PUBLISH)

    def close(self) -> None:
        """Let the child end; it removes what was not published."""
        self._peer.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.child, os.WNOHANG)  # if it cannot end now, it is init's

    def _write(self, data: bytes) -> None:
        for at in range(0, len(data), _PIECE):
            self._tell(_DATA + data[at : at + _PIECE])

    def _tell(self, packet: bytes) -> None:
        while True:
            try:
                self._peer.send(packet)
                return
            except BlockingIOError:
                if not self._wait(select.POLLOUT):
                    self._give_up()
            except (BrokenPipeError, ConnectionResetError):
                self._expect(b"")

    def _expect(self, wanted: bytes) -> None:
        """Read the child's answer; it may be an error, and there may be none."""
        is_late = not self._wait(select.POLLIN)
        if is_late:
            # Whatever it says from now on it knows to be unheard; what it has just said counts.
            self._peer.shutdown(socket.SHUT_RDWR)
        answer = self._read()
        if is_late and not answer:
            self._give_up()
        if answer[:1] == _ERROR:
            text = answer[1:].decode("utf-8", "replace")
            raise unavailable(f"maildrop: {self._folder}: {text}")
        if answer != wanted or not wanted:
            raise unavailable(f"maildrop: {self._folder}: the file was not written")

    def _read(self) -> bytes:
        """What the child said; nothing if it has gone, or said nothing."""
        while True:
            try:
                return self._peer.recv(_PACKET_LIMIT)
            except ConnectionResetError:  # told once, before what was said (unix(7))
                continue
            except BlockingIOError:
                return b""

    def _wait(self, event: int) -> bool:
        poll = select.poll()
        poll.register(self._peer, event)
        return bool(poll.poll(self._timeout * 1000))

    def _give_up(self) -> NoReturn:
        raise unavailable(
            f"maildrop: {self._folder}: no answer within {self._timeout:g} s: "
            "is the file server there?"
        )


def _serve(peer: socket.socket, folder: str, host: str) -> NoReturn:
    """The child: write a file as it is told, and be gone."""
    try:
        _let_go(peer.fileno())
        try:
            _require_maildrop(folder)
            writer = MaildropWriter(folder, host)
            try:
                _obey(peer, writer)
            finally:
                writer.close()
        except OSError as error:
            peer.send(_ERROR + str(error).encode("utf-8", "replace")[:_PIECE])
    finally:
        # No cleaning up, which is the parent's: his buffers are not to be written twice.
        os._exit(0)


def _obey(peer: socket.socket, writer: MaildropWriter) -> None:
    while packet := peer.recv(_PACKET_LIMIT):
        match packet[:1]:
            case b"d":
                writer.write(packet[1:])
            case b"s":
                writer.seal()
                peer.send(_SEAL)
            case b"p":
                writer.publish()
                try:
                    peer.send(_PUBLISH)
                except OSError:  # nobody waits any more
                    writer.withdraw()
                return


def _let_go(kept: int) -> None:
    """Hold nothing that somebody waits for, and outlive a hang-up: the parent's end is ours."""
    import signal  # noqa: PLC0415 - not needed where pickup listens

    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(null, descriptor)
    os.closerange(3, kept)
    os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX"))


def _require_maildrop(folder: str) -> None:
    """Refuse a folder that is none: where nothing is mounted, root could write, and nobody read."""
    mode = os.stat(folder).st_mode
    if mode & _WORLD_WRITABLE != _WORLD_WRITABLE:
        raise OSError("is no maildrop (mode 3733): is the file server's folder mounted?")
