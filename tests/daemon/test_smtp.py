"""The agents for other hosts as real processes: requests with a queue file in, SMTP and LMTP out.

The test plays the master, the queue manager, the resolver and the hosts.
"""

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
from support.own_master import DaemonProcess, write_snapshot
from support.ports import free_port
from support.scripted_service import ScriptedService, ask, listen_ipc
from support.smtp_peer import Action, Call, HangUp, InTurn, Reset, Script, SmtpPeer
from support.waiting import wait_until

from mta.ipc.connection import encode
from mta.ipc.messages import (
    FRAME_LIMIT,
    AddressRole,
    Deliver,
    DeliverRecipient,
    FindAddresses,
    FindMailHosts,
    HostAddresses,
    MailHost,
    MailHosts,
    Message,
    Outcome,
    Outcomes,
    Refused,
    ResolverRequest,
    Rewrite,
    RewriteRequest,
    Rewritten,
)
from mta.master.channel import Command, Crossing
from mta.proto.status import Disposition, Status

QUEUE_ID = "0" * 22
HEAD = b"head of the queue file"
CONTENT = b"A: 1\r\n\r\n.dot\r\n..dots\r\nend\r\n"
TWO_HOSTS = MailHosts(
    (MailHost(10, "a.test", ("127.0.0.2",)), MailHost(20, "b.test", ("127.0.0.3",))),
    implicit=False,
)


class Bench:
    """One agent, the resolver it asks, and a client that plays the queue manager."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        self.port = free_port()
        self.known: dict[str, Message] = {"x.test": TWO_HOSTS}
        self._stack = stack
        self._number = 0

    def start(self, daemon: str = "smtp", **parameters: object) -> None:
        row = {"name": "outbound", "daemon": daemon, "listen": ["ipc:private/outbound"]}
        fixed = {"myhostname": "mx.posthouse.test", "smtp_tcp_port": self.port, "ipc_timeout": 5}
        write_snapshot(self.directory, row, parameters={**fixed, **parameters})
        listener = self._stack.enter_context(listen_ipc(self.directory, "private/outbound"))
        self.resolver = self._stack.enter_context(
            ScriptedService[FindMailHosts | FindAddresses](
                self.directory, "private/resolver", ResolverRequest, self._resolve
            )
        )
        self.daemon = self._stack.enter_context(
            DaemonProcess(
                ["-m", f"mta.daemons.{daemon}"],
                self.directory,
                [("ipc:private/outbound", listener.fileno())],
                service="outbound",
            )
        )
        self.daemon.hear_until(Crossing("free"))
        self._client = self._stack.enter_context(
            socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        )
        self._client.settimeout(20)
        self._client.connect(str(self.directory / "private/outbound"))

    def peer(self, host: str = "127.0.0.2", *scripts: Script, lmtp: bool = False) -> SmtpPeer:
        made = SmtpPeer(*scripts, host=host, port=self.port, lmtp=lmtp)
        return self._stack.enter_context(made)

    def store(self, path: Path, *scripts: Script) -> SmtpPeer:
        return self._stack.enter_context(SmtpPeer(*scripts, path=path, lmtp=True))

    def rewrite(self, answer: Callable[[str], str | Message]) -> ScriptedService[Rewrite]:
        """What rewrite says of an address."""

        def reply(request: Rewrite, _: list[int]) -> Message:
            said = answer(request.address)
            return Rewritten(said, 1) if isinstance(said, str) else said

        script = ScriptedService[Rewrite](self.directory, "private/rewrite", RewriteRequest, reply)
        return self._stack.enter_context(script)

    def deliver(
        self, *recipients: str, nexthop: str = "x.test", content: bytes = CONTENT
    ) -> Outcomes:
        request = _deliver(recipients or ("r@x.test",), nexthop, len(content))
        path = self.directory / "queue-file"
        path.write_bytes(HEAD + content)
        self._number += 1
        with path.open("rb") as file:
            return ask(self._client, self._number, request, Outcomes, [file.fileno()])

    def send(self) -> None:
        """Send one request and wait for nothing."""
        path = self.directory / "queue-file"
        path.write_bytes(HEAD + CONTENT)
        frame = encode(1, _deliver(("r@x.test",), "x.test", len(CONTENT)))
        with path.open("rb") as file:
            socket.send_fds(self._client, [frame], [file.fileno()])

    def hear(self) -> str:
        """The kind of the next frame."""
        _, _, body = msgspec.msgpack.decode(self._client.recv(FRAME_LIMIT))
        return str(body[0])

    def leave(self) -> None:
        """Hang up, as a queue manager does that has no more mail."""
        self._client.close()

    def _resolve(self, request: FindMailHosts | FindAddresses, _: list[int]) -> Message:
        name = request.domain if isinstance(request, FindMailHosts) else request.name
        return self.known.get(name, Refused(Status(550, "5.1.2", f"{name}: not found")))


def _deliver(recipients: Sequence[str], nexthop: str, length: int) -> Deliver:
    return Deliver(
        QUEUE_ID,
        "sender@posthouse.test",
        tuple(DeliverRecipient(index, to, to) for index, to in enumerate(recipients)),
        nexthop,
        time.time() - 2,
        len(HEAD),
        length,
    )


@pytest.fixture
def bench(short_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(short_path, stack)


def only(outcomes: Outcomes) -> Outcome:
    (outcome,) = outcomes.outcomes
    return outcome


def test_a_message_reaches_the_best_host_as_it_is(bench: Bench) -> None:
    bench.start()
    best, worse = bench.peer("127.0.0.2"), bench.peer("127.0.0.3")
    outcome = only(bench.deliver("r@x.test"))
    assert outcome.disposition is Disposition.DELIVERED
    assert outcome.relay == f"a.test[127.0.0.2]:{bench.port}"
    (message,) = best.messages
    assert (message.content, message.recipients) == (CONTENT, ("r@x.test",))
    assert message.sender == "sender@posthouse.test"
    assert best.visits[0].commands[0] == "EHLO mx.posthouse.test"
    assert worse.visits == []
    (line,) = bench.daemon.events("delivery")
    assert (line["relay"], line["status"], line["to"]) == (outcome.relay, "sent", "r@x.test")
    assert bench.daemon.events("sandbox_incomplete") == []


@pytest.mark.parametrize(
    "script",
    [
        None,
        Script(greeting="421 4.3.2 busy"),
        Script(greeting="554 5.3.2 no"),
        Script(ehlo=Reset()),
        Script(rcpt="450 4.2.0 later"),
        Script(end="451 4.3.0 later"),
    ],
    ids=["refused", "421", "554", "reset", "450", "451"],
)
def test_the_next_host_takes_what_the_first_one_does_not(
    bench: Bench, script: Script | None
) -> None:
    bench.start()
    worse = bench.peer("127.0.0.3")
    if script is not None:
        bench.peer("127.0.0.2", script)
    outcome = only(bench.deliver())
    assert outcome.relay == f"b.test[127.0.0.3]:{bench.port}"
    assert len(worse.messages) == 1


def test_a_host_that_takes_fewer_leaves_the_rest_to_the_next(bench: Bench) -> None:
    bench.start()
    best = bench.peer("127.0.0.2", Script(rcpt={"s@x.test": "452 4.5.3 too many"}))
    worse = bench.peer("127.0.0.3")
    outcomes = bench.deliver("r@x.test", "s@x.test", "t@x.test").outcomes
    assert [each.disposition for each in outcomes] == [Disposition.DELIVERED] * 3
    assert best.messages[0].recipients == ("r@x.test", "t@x.test")
    assert worse.messages[0].recipients == ("s@x.test",)


def test_the_session_serves_the_next_message_and_ends_with_quit(bench: Bench) -> None:
    bench.start()
    best = bench.peer()
    for _ in range(3):
        assert only(bench.deliver()).disposition is Disposition.DELIVERED
    assert (len(best.visits), len(best.messages)) == (1, 3)
    assert len(bench.resolver.requests) == 1
    bench.leave()
    bench.daemon.tell(Command("retire"))
    assert bench.daemon.ended() == 0
    wait_until(lambda: best.visits[0].commands[-1] == "QUIT", "QUIT")


def test_a_session_without_work_ends_by_itself(bench: Bench) -> None:
    bench.start(smtp_connection_cache_time_limit=0.2)
    best = bench.peer()
    bench.deliver()
    wait_until(lambda: best.visits[0].commands[-1] == "QUIT", "QUIT")


def test_domains_with_the_same_host_share_its_session(bench: Bench) -> None:
    bench.start()
    bench.known["y.test"] = TWO_HOSTS
    best = bench.peer()
    bench.deliver("r@x.test", nexthop="x.test")
    assert only(bench.deliver("r@y.test", nexthop="y.test")).status.code == 250
    assert (len(best.visits), len(best.messages)) == (1, 2)


@pytest.mark.parametrize("ending", [HangUp(), Reset(), "421 4.3.2 going down"])
def test_a_kept_session_that_ended_costs_no_attempt(bench: Bench, ending: Action) -> None:
    """With one session allowed: the fresh one is not a second one."""
    bench.start(smtp_mx_session_limit=1)
    best = bench.peer("127.0.0.2", Script(mail=InTurn("250 2.1.0 ok", ending)), Script())
    bench.deliver()
    assert only(bench.deliver()).status.code == 250
    assert (len(best.visits), len(best.messages)) == (2, 2)


@pytest.mark.parametrize(
    ("nexthop", "recipient"),
    [("[127.0.0.2]:{port}", "r@x.test"), ("[127.0.0.2]", "r@[127.0.0.2]")],
)
def test_an_address_asks_no_resolver(bench: Bench, nexthop: str, recipient: str) -> None:
    bench.start()
    best = bench.peer()
    outcome = only(bench.deliver(recipient, nexthop=nexthop.format(port=bench.port)))
    assert outcome.relay == f"127.0.0.2[127.0.0.2]:{bench.port}"
    assert best.messages[0].recipients == (recipient,)
    assert bench.resolver.requests == []


def test_a_destination_that_no_session_reaches(bench: Bench) -> None:
    bench.start()
    outcomes = bench.deliver()
    assert outcomes.unreachable
    status = only(outcomes).status
    assert str(status) == (
        f"451 4.4.1 connect to b.test[127.0.0.3]:{bench.port}: Connection refused"
    )
    bench.peer("127.0.0.3", Script(rcpt="550 5.1.1 who?"))
    assert not bench.deliver().unreachable


@pytest.mark.parametrize(
    ("status", "unreachable"),
    [
        (Status(550, "5.1.2", "not found"), False),
        (Status(556, "5.1.10", "takes no mail"), False),
        (Status(451, "4.4.3", "try again"), True),
    ],
)
def test_what_the_resolver_refuses(bench: Bench, status: Status, unreachable: bool) -> None:
    bench.start()
    bench.known["x.test"] = Refused(status, "why")
    outcomes = bench.deliver()
    assert (only(outcomes).status, only(outcomes).relay) == (status, "none")
    assert outcomes.unreachable is unreachable
    assert bench.daemon.events("delivery")[0]["reason"] == "why"


def test_a_resolver_that_is_gone_is_a_deferral(bench: Bench) -> None:
    bench.start()
    (bench.directory / "private/resolver").unlink()
    outcomes = bench.deliver()
    assert only(outcomes).status.enhanced == "4.3.0"
    assert not outcomes.unreachable


def test_mail_for_ourselves_loops(bench: Bench) -> None:
    bench.start()
    bench.known["x.test"] = MailHosts(
        (MailHost(10, "mx.posthouse.test", ("127.0.0.2",)),), implicit=False
    )
    there = bench.peer()
    assert str(only(bench.deliver()).status) == ("554 5.4.6 mail for x.test loops back to myself")
    assert there.visits == []


def test_the_fallback_relay_takes_what_is_not_found(bench: Bench) -> None:
    bench.start(smtp_fallback_relay=[f"[127.0.0.4]:{bench.port}"])
    relay = bench.peer("127.0.0.4")
    assert only(bench.deliver("r@absent.test", nexthop="absent.test")).status.code == 250
    assert relay.messages[0].recipients == ("r@absent.test",)


def test_a_relayhost_that_is_not_found_bounces_nothing(bench: Bench) -> None:
    bench.start()
    outcome = only(bench.deliver(nexthop="[relay.test]"))
    assert str(outcome.status) == "451 4.3.5 relay.test: not found"


def test_a_delivery_in_hand_is_finished_when_the_agent_retires(bench: Bench) -> None:
    bench.start()

    def slowly() -> str:
        bench.daemon.tell(Command("retire"))
        wait_until(lambda: bench.daemon.events("retiring"), "the agent's retirement")
        return "250 2.0.0 at last"

    bench.peer("127.0.0.2", Script(end=Call(slowly)))
    bench.send()
    assert [bench.hear() for _ in range(2)] == ["Goodbye", "Outcomes"]
    assert bench.daemon.ended() == 0


class TestGenericMaps:
    def test_other_hosts_see_other_addresses_and_the_log_does_not(self, bench: Bench) -> None:
        bench.start(smtp_generic_maps=["texthash:/etc/generic"])
        rewrite = bench.rewrite(lambda address: address.replace("posthouse.test", "isp.test"))
        peer = bench.peer()
        content = b"From: a@posthouse.test\r\nX: 1\r\n\r\na@posthouse.test\r\n"
        outcomes = bench.deliver("r@x.test", "s@posthouse.test", content=content)
        assert {each.disposition for each in outcomes.outcomes} == {Disposition.DELIVERED}
        (message,) = peer.messages
        assert message.sender == "sender@isp.test"
        assert message.recipients == ("r@x.test", "s@isp.test")
        assert message.content == content.replace(b"From: a@posthouse", b"From: a@isp")
        assert [line["to"] for line in bench.daemon.events("delivery")] == [
            "r@x.test",
            "s@posthouse.test",
        ]
        assert {each.role for each in rewrite.requests} == {AddressRole.GENERIC}

    def test_a_table_out_of_order_defers(self, bench: Bench) -> None:
        bench.start(smtp_generic_maps=["texthash:/etc/generic"])
        bench.rewrite(lambda _: Refused(Status(451, "4.3.0", "A table is out of order")))
        peer = bench.peer()
        outcome = only(bench.deliver("r@x.test"))
        assert outcome.disposition is Disposition.DEFERRED
        assert outcome.status.enhanced == "4.3.0"
        assert peer.visits == []


class TestLmtp:
    def test_a_mail_store_gets_our_own_addresses(self, bench: Bench) -> None:
        bench.start("lmtp", smtp_generic_maps=["texthash:/etc/generic"])
        path = bench.directory / "store"
        store = bench.store(path)
        assert only(bench.deliver(nexthop=f"unix:{path}")).status.code == 250
        assert store.messages[0].sender == "sender@posthouse.test"

    def test_a_store_at_a_unix_socket(self, bench: Bench) -> None:
        bench.start("lmtp")
        path = bench.directory / "store"
        refusals = {"s@x.test": "452 4.2.2 full", "t@x.test": "550 5.2.1 disabled"}
        store = bench.store(path, Script(end=refusals))
        outcomes = bench.deliver("r@x.test", "s@x.test", "t@x.test", nexthop=f"unix:{path}")
        assert [each.status.enhanced for each in outcomes.outcomes] == ["2.0.0", "4.2.2", "5.2.1"]
        assert {each.relay for each in outcomes.outcomes} == {f"mx.posthouse.test[{path}]"}
        assert store.visits[0].commands[0] == "LHLO mx.posthouse.test"
        assert store.messages[0].content == CONTENT

    def test_a_path_in_the_queue_directory(self, bench: Bench) -> None:
        bench.start("lmtp")
        bench.store(bench.directory / "private/store")
        assert only(bench.deliver(nexthop="unix:private/store")).status.code == 250

    def test_a_store_that_is_not_there(self, bench: Bench) -> None:
        bench.start("lmtp")
        outcomes = bench.deliver(nexthop="unix:private/store")
        assert only(outcomes).status.enhanced == "4.4.1"
        assert outcomes.unreachable

    def test_a_store_at_an_address(self, bench: Bench) -> None:
        """No MX is asked for, and its name may be ours."""
        bench.start("lmtp")
        bench.known["mx.posthouse.test"] = HostAddresses(("127.0.0.2",))
        bench.peer(lmtp=True)
        outcome = only(bench.deliver(nexthop=f"inet:mx.posthouse.test:{bench.port}"))
        assert outcome.relay == f"mx.posthouse.test[127.0.0.2]:{bench.port}"
        assert bench.resolver.requests == [FindAddresses("mx.posthouse.test")]
