"""Clients that keep sending, and the ledger of what the server acknowledged."""

from functools import partial

from support.background import Background
from support.dialogue import Dialogue
from support.instance import DOMAIN, Instance
from support.waiting import wait_until

__all__ = ["Ledger", "Load", "message"]


def message(mark: str, size: int = 0) -> bytes:
    """A message that can be told from all others by its Subject, with a body of `size` octets."""
    line = b"x" * 70 + b"\r\n"
    return f"Subject: {mark}\r\n\r\n".encode() + line * (size // len(line) + 1)


class Ledger:
    """What a server acknowledged with 250, and what came of it."""

    def __init__(
        self,
        instance: Instance,
        user: str,
        domain: str = DOMAIN,
        sender: str = "ledger@example.org",
    ) -> None:
        self.user = user
        self._domain = domain
        self._sender = sender
        self.acknowledged: list[str] = []
        self._instance = instance

    @property
    def recipient(self) -> str:
        return f"{self.user}@{self._domain}"

    def send(self, client: Dialogue, mark: str, size: int = 0) -> str:
        """Send one message on a greeted session; it is in the ledger once 250 gave its queue id."""
        reply = client.mail(self._sender, [self.recipient], message(mark, size))
        self.acknowledged.append(mark)
        return reply.text.split()[-1]

    def copies(self) -> dict[str, int]:
        """How often each mark lies in the mailbox now."""
        found: dict[str, int] = {}
        for delivered in self._instance.maildir(self.user).messages():
            (mark,) = delivered.fields("Subject")
            found[mark] = found.get(mark, 0) + 1
        return found

    def wait_delivered(self, timeout: float = 30.0) -> dict[str, int]:
        """Wait until all that was acknowledged has arrived and the queue is empty."""
        wait_until(
            lambda: set(self.acknowledged) <= set(self.copies()),
            f"the delivery of {len(self.acknowledged)} acknowledged messages",
            timeout,
        )
        wait_until(
            lambda: not self._instance.messages("incoming", "deferred"),
            "an empty queue",
            timeout,
        )
        return self.copies()


class Load(Background):
    """Threads that connect, send one message and quit, again and again.

    Refused and broken connections are counted, never retried: where there must be none, the test
    looks at `failures`.
    """

    def __init__(self, ledger: Ledger, instance: Instance, clients: int = 4) -> None:
        self.failures: list[Exception] = []
        self._ledger = ledger
        self._instance = instance
        super().__init__(*(partial(self._send, number) for number in range(clients)))

    @property
    def acknowledged(self) -> int:
        return len(self._ledger.acknowledged)

    def wait_acknowledged(self, count: int, timeout: float = 20.0) -> None:
        """Wait until that many more messages were acknowledged."""
        goal = self.acknowledged + count
        wait_until(lambda: self.acknowledged >= goal, f"{count} more messages", timeout)

    def _send(self, client: int) -> None:
        number = 0
        while not self.ending.is_set():
            number += 1
            try:
                with self._instance.smtp() as session:
                    self._ledger.send(session.greeted(), f"load-{client}-{number}")
                    session.say("QUIT", 221)
            except (OSError, EOFError, AssertionError) as error:
                self.failures.append(error)
                self.ending.wait(0.05)  # a server that is away is not hammered
