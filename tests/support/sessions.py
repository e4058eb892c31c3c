"""Sessions with hosts that exist on paper only: a script of what each host does."""

import asyncio
from collections.abc import Iterable, Sequence

from mta.delivery.client.session import Endpoint, Mail, SessionFailed, Verdict
from mta.proto.status import Status

__all__ = ["Network", "ScriptedSession", "status"]

Answer = Verdict | BaseException | str


def status(text: str) -> Status:
    """A status as it is written: "451 4.4.2 lost connection"."""
    code, enhanced, rest = text.split(" ", 2)
    return Status(int(code), enhanced, rest)


class ScriptedSession:
    """One session; `answers` are those to its recipients, in turn: a status, or an exception.

    4xx leaves a recipient to another host, unless the text ends in "(unknown)".
    """

    def __init__(
        self,
        endpoint: Endpoint,
        answers: Iterable[Answer] = (),
        *,
        opened: float = 0.0,
        tls: str = "",
    ) -> None:
        self.endpoint = endpoint
        self.opened = opened
        self.tls = tls
        self.usable = True
        self.lost_at_first = False
        self.dies = False  # the server has hung up, and nobody noticed
        self.single = False  # it ends with its first message
        self.closed = 0
        self.mails: list[Mail] = []
        self._answers = iter(answers)

    async def deliver(self, mail: Mail) -> list[Verdict]:
        assert self.usable
        assert not self.closed
        if self.dies:
            self.usable, self.lost_at_first = False, True
            lost = Verdict(status("451 4.4.2 lost connection"), elsewhere=True)
            return [lost] * len(mail.recipients)
        self.mails.append(mail)
        self.usable = not self.single
        return [self._answer() for _ in mail.recipients]

    def close(self) -> None:
        self.closed += 1
        self.usable = False

    def _answer(self) -> Verdict:
        answer = next(self._answers, "250 2.0.0 ok")
        if isinstance(answer, BaseException):
            raise answer
        if isinstance(answer, Verdict):
            return answer
        said = status(answer)
        return Verdict(said, elsewhere=said.is_temporary and not said.text.endswith("(unknown)"))


class Network:
    """Hosts by address: what each says to those who would begin a session, and then.

    A host is a list of answers to recipients, or one status that its greeting comes to. Who is not
    mentioned refuses the connection.
    """

    def __init__(self, hosts: dict[str, Sequence[Answer] | str] | None = None) -> None:
        self.hosts = hosts or {}
        self.tried: list[str] = []  # addresses, in order
        self.sessions: list[ScriptedSession] = []
        self.tls = ""
        self.single = False

    async def open(self, endpoint: Endpoint) -> ScriptedSession:
        self.tried.append(endpoint.address)
        host = self.hosts.get(endpoint.address, "451 4.4.1 Connection refused")
        if isinstance(host, str):
            raise SessionFailed(status(host), elsewhere=not host.endswith("(final)"))
        opened = asyncio.get_running_loop().time()
        session = ScriptedSession(endpoint, host, opened=opened, tls=self.tls)
        session.single = self.single
        self.sessions.append(session)
        return session
