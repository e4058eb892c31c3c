"""How long one message takes on a system that has nothing else to do, and a process to start.

end of DATA to 250        from the client's last octet to the server's answer
250 to the sink's receipt from that answer to the last octet's arrival at the next host
cold, warm start          from connecting to the banner, with no process for it and with one
"""

import statistics
import time
from dataclasses import dataclass
from typing import Final

from support.dialogue import Dialogue, dot_stuffed
from support.load import message

from bench.experiment import Experiment, Setting
from bench.figures import Figure, percentile
from bench.server import BOX_DOMAIN, SINK_DOMAIN, Server, wait_empty
from bench.sink import TellingSink

__all__ = ["Acceptance", "ColdStart", "RelayLatency"]

_WARMING: Final = 5  # messages that are not counted: the first ones start processes
_SIZE: Final = 4000  # octets
_SENDER: Final = "from@bench.test"


@dataclass(frozen=True, kw_only=True)
class Acceptance(Experiment):
    """Single messages into a mailbox: the time until they are acknowledged."""

    messages: int

    def measure(self, server: Server, setting: Setting) -> dict[Figure, float]:
        del setting
        times = []
        with Dialogue("127.0.0.1", server.port, 30.0) as client:
            client.greeted("EHLO bench.test")
            for number in range(_WARMING + self.messages):
                sent, answered = _timed(client, f"to@{BOX_DOMAIN}", number)
                times.append(answered - sent)
                wait_empty(server)
            client.say("QUIT", 221)
        return _summary("end of DATA to 250", times[_WARMING:])


@dataclass(frozen=True, kw_only=True)
class RelayLatency(Experiment):
    """Single messages to the next host: the time until they are acknowledged, and until there."""

    messages: int

    def measure(self, server: Server, setting: Setting) -> dict[Figure, float]:
        accepted, relayed = [], []
        with (
            TellingSink(setting.sink) as sink,
            Dialogue("127.0.0.1", server.port, 30.0) as client,
        ):
            client.greeted("EHLO bench.test")
            for number in range(_WARMING + self.messages):
                sent, answered = _timed(client, f"to@{SINK_DOMAIN}", number)
                accepted.append(answered - sent)
                relayed.append(sink.arrival() - answered)
                wait_empty(server)
            client.say("QUIT", 221)
        return {
            **_summary("end of DATA to 250", accepted[_WARMING:]),
            **_summary("250 to the sink's receipt", relayed[_WARMING:]),
        }


def _timed(client: Dialogue, recipient: str, number: int) -> tuple[float, float]:
    """Send one message; when its last octet was sent, and when it was acknowledged."""
    client.say(f"MAIL FROM:<{_SENDER}>", 250)
    client.say(f"RCPT TO:<{recipient}>", 250)
    client.say("DATA", 354)
    client.send_octets(dot_stuffed(message(f"latency-{number}", _SIZE)))
    sent = time.monotonic()
    client.expect(250)
    return sent, time.monotonic()


def _summary(name: str, times: list[float]) -> dict[Figure, float]:
    return {
        Figure(f"{name}, median", "ms", "less"): statistics.median(times) * 1000,
        Figure(f"{name}, p99", "ms", "less"): percentile(times, 0.99) * 1000,
    }


@dataclass(frozen=True, kw_only=True)
class ColdStart(Experiment):
    """Connect to banner: with no process that serves SMTP, and right afterwards."""

    starts: int

    def measure(self, server: Server, setting: Setting) -> dict[Figure, float]:
        del setting
        cold, warm = [], []
        for _ in range(self.starts):
            server.end_listeners()
            cold.append(_banner(server.port))
            warm.append(_banner(server.port))
        return {
            Figure("connect to banner, cold", "ms", "less"): statistics.median(cold) * 1000,
            Figure("connect to banner, warm", "ms", "less"): statistics.median(warm) * 1000,
        }


def _banner(port: int) -> float:
    """Seconds from connecting to the greeting."""
    began = time.monotonic()
    with Dialogue("127.0.0.1", port, 30.0) as client:
        client.expect(220)
        lasted = time.monotonic() - began
        client.say("QUIT", 221)
        client.expect_end()
    return lasted
