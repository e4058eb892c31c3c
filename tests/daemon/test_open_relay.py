"""`mta check` proves an open relay by a session: it is the one that real daemons have with it.

The stranger comes from the very address that the session names, in a network of the test's own.
What check calls closed refuses the same stranger at RCPT.
"""

import contextlib
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from support.certificates import make_pair
from support.configuration import ConfigurationFolder
from support.dialogue import trusting_context
from support.foreign_network import ForeignNetwork, foreign_network
from support.own_master import DaemonProcess

from mta.config.compile import compile_configuration
from mta.config.errors import ConfigError
from mta.config.parameters import Parameters
from mta.config.problems import Problem, Problems
from mta.config.snapshot import Snapshot
from mta.config.source import load
from mta.config.stranger import HANDSHAKE, QUEUE_ID
from mta.config.table import read_table
from mta.config.validate import check_fields, mapping
from mta.master.channel import Crossing
from mta.queue.layout import create_layout
from mta.util.listen import InetAddress, parse_listen

pytestmark = pytest.mark.requires("root", "ip")

ANY_PORT = 'smtp: {listen: ["inet:0.0.0.0:25", "inet:[::]:25"]}'
STRANGERS = ("1.0.0.1", "2000::1")


@dataclass(frozen=True)
class Case:
    """main.yml beyond what is needed, and the rows of services.yml."""

    name: str
    main: str
    rows: str = ANY_PORT


OPEN = [
    Case("everybody", "mynetworks: [0.0.0.0/0]"),
    Case("two halves", "mynetworks: [0.0.0.0/1, 128.0.0.0/1]"),
    Case("many pieces", "mynetworks: [64.0.0.0/8, 1.0.0.0/8, 80.0.0.0/16]"),
    Case("IPv6", "mynetworks: ['::/0']"),
    Case("half of IPv6's global addresses", "mynetworks: ['2000::/4']"),
    Case("IPv4 as IPv6 has it", "mynetworks: ['::ffff:0.0.0.0/97']"),
    Case(
        "a row's own networks",
        "",
        f"{ANY_PORT[:-1]}, settings: {{mynetworks: [1.0.0.0/8, 2.0.0.0/8]}}}}",
    ),
    Case(
        "another port and name",
        "mynetworks: [0.0.0.0/0]\nmyhostname: mail.posthouse.test\nmessage_size_limit: 2000\n"
        "smtpd_banner: $myhostname ready\nsoft_bounce: true",
        'smtp: {listen: ["inet:127.0.0.1:25"]}\n'
        '  submission: {daemon: smtpd, user: mtanet, listen: ["inet:0.0.0.0:2587"]}',
    ),
    Case("behind TLS", "mynetworks: [0.0.0.0/0]\nsmtpd_tls_security_level: encrypt"),
    Case(
        "a domain of ours", "mynetworks: [0.0.0.0/0]\nvirtual_mailbox_domains: [elsewhere.example]"
    ),
    Case(
        "a nexthop in place of a relayhost",
        "mynetworks: [0.0.0.0/0]\ndefault_transport: outbound:[192.0.2.1]",
    ),
]
CLOSED = [
    Case("the defaults", ""),
    Case("private networks", "mynetworks: [10.0.0.0/8, 192.168.0.0/16, 'fd00::/8']"),
    Case("a public network", "mynetworks: [9.0.0.0/8, '2001:4000::/21']"),
    Case("no transport", "mynetworks: [0.0.0.0/0, '::/0']\ndefault_transport: ''"),
    Case(
        "a row that closes",
        "mynetworks: [0.0.0.0/0, '::/0']",
        f"{ANY_PORT[:-1]}, settings: {{mynetworks: [127.0.0.0/8]}}}}",
    ),
    Case("what is no one's", "mynetworks: [240.0.0.0/4, 224.0.0.0/4, 'ff00::/8', 'fe80::/10']"),
    Case("soft bounces", "soft_bounce: true"),
]


class House:
    """A row of smtpd, rewrite and cleanup, live with a configuration that nobody checked."""

    def __init__(self, folder: ConfigurationFolder, network: ForeignNetwork) -> None:
        self._folder = folder
        self._network = network
        self.directory = folder.queue
        create_layout(str(self.directory))
        self._snapshot = _unchecked(folder)
        (self.directory / "config" / "1.json").write_bytes(msgspec.json.encode(self._snapshot))

    @contextlib.contextmanager
    def running(self, row: str) -> Iterator[None]:
        """Start smtpd as that row, and what it asks."""
        with contextlib.ExitStack() as stack:
            for name in ("rewrite", "cleanup"):
                listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
                listener.bind(str(self.directory / "private" / name))
                listener.listen()
                self._start(stack, name, [(f"ipc:private/{name}", listener.fileno())])
            listeners = []
            for text in self._snapshot.service(row).listen:
                address = parse_listen(text)
                assert isinstance(address, InetAddress)
                server = stack.enter_context(self._network.call(_listen, address))
                listeners.append((text, server.fileno()))
            self._start(stack, row, listeners)
            yield

    def _start(
        self, stack: contextlib.ExitStack, row: str, listeners: list[tuple[str, int]]
    ) -> None:
        module = self._snapshot.service(row).daemon
        command = ["-m", f"mta.daemons.{module}"]
        daemon = DaemonProcess(command, self.directory, listeners, service=row)
        stack.enter_context(daemon)
        assert daemon.hear() == Crossing("free")

    def replay(self, client: str, port: int, session: tuple[str, ...]) -> list[str]:
        """Say what the session's client says, from its address; what both said."""
        return self._network.call(_replay, client, port, session)


def _unchecked(folder: ConfigurationFolder) -> Snapshot:
    problems = Problems()
    main = load(str(folder.directory / "main.yml"), problems)
    services = load(str(folder.directory / "services.yml"), problems)
    assert main is not None
    assert services is not None
    values = check_fields(mapping(main, "main", problems), Parameters, "main", problems)
    table = read_table(services, problems)
    assert not problems.errors, "each value is sound by itself"
    return Snapshot(
        version=1,
        generation=1,
        created=0.0,
        profile=table.profile,
        python="",
        parameters=Parameters(**values),
        services=tuple(row.service for row in table.rows.values()),
    )


def _listen(address: InetAddress) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    server = socket.create_server((address.host, address.port), family=family)
    server.setblocking(False)
    return server


def _replay(client: str, port: int, session: tuple[str, ...]) -> list[str]:
    """Both sides as they were, in the session's form; it ends where smtpd says something else."""
    here = "::1" if ":" in client else "127.0.0.1"
    connection = socket.create_connection((here, port), timeout=10, source_address=(client, 0))
    assert connection.getsockname()[0] == client
    reader = connection.makefile("rb")
    heard = []
    for line in session:
        if line == HANDSHAKE:
            reader.close()
            connection = trusting_context().wrap_socket(connection)
            reader = connection.makefile("rb")
            heard.append(line)
        elif line.startswith("C: "):
            connection.sendall(f"{line[3:]}\r\n".encode())
            heard.append(line)
        else:
            reply = reader.readline().decode("ascii").removesuffix("\r\n")
            heard.append("S: " + re.sub(r"(queued as) \w{22}$", rf"\1 {QUEUE_ID}", reply))
            if heard[-1] != line:
                break
    reader.close()
    connection.close()
    return heard


@pytest.fixture
def folder(short_path: Path) -> ConfigurationFolder:
    return ConfigurationFolder(short_path)


@pytest.fixture(scope="module")
def network() -> Iterator[ForeignNetwork]:
    with foreign_network(*STRANGERS, "64.0.0.1") as made:
        yield made


def _write(folder: ConfigurationFolder, case: Case) -> None:
    tls = ""
    if "smtpd_tls_security_level" in case.main:
        pair = make_pair(folder.directory.parent / "tls")
        tls = f"smtpd_tls_cert_file: {pair.certificate}\nsmtpd_tls_key_file: {pair.key}\n"
    folder.main(f"{case.main}\n{tls}")
    # What a test says of a name in main.yml comes last, and a name may stand there once.
    lines = (folder.directory / "main.yml").read_text().splitlines()
    settings = {line.partition(":")[0]: line for line in lines}
    (folder.directory / "main.yml").write_text("\n".join(settings.values()) + "\n")
    folder.services(f"profile: hub\nservices:\n  {case.rows}\n")


def _problem(folder: ConfigurationFolder) -> Problem:
    with pytest.raises(ConfigError) as caught:
        folder.compile()
    (problem,) = caught.value.problems
    return problem


TITLE = re.compile(r"A stranger at \[(?P<client>.+)\] connects to inet:.+:(?P<port>\d+):\Z")


@pytest.mark.parametrize("case", OPEN, ids=lambda case: case.name)
def test_the_session_that_proves_an_open_relay_is_true(
    folder: ConfigurationFolder, network: ForeignNetwork, case: Case
) -> None:
    _write(folder, case)
    problem = _problem(folder)
    assert problem.name.endswith("mynetworks")
    title, *session = problem.session
    found = TITLE.match(title)
    assert found is not None
    assert "S: 250 2.1.5 Ok" in session, "a recipient elsewhere is taken"
    house = House(folder, network)
    with house.running("submission" if found["port"] == "2587" else "smtp"):
        heard = house.replay(found["client"], int(found["port"]), tuple(session))
    assert heard == session


@pytest.mark.parametrize("client", STRANGERS)
@pytest.mark.parametrize("case", CLOSED, ids=lambda case: case.name)
def test_what_is_called_closed_refuses_a_stranger(
    folder: ConfigurationFolder, network: ForeignNetwork, case: Case, client: str
) -> None:
    _write(folder, Case("", "mynetworks: [0.0.0.0/0, '::/0']"))
    *_, session = (problem.session for problem in _problems(folder))
    _write(folder, case)
    assert compile_configuration(str(folder.directory)).services
    house = House(folder, network)
    with house.running("smtp"):
        heard = house.replay(client, 25, session[1:])
    recipient = next(line for line in session if line.startswith("C: RCPT"))
    refusal = "<victim@elsewhere.example>: Relay access denied"
    code = "454 4.7.1" if "soft_bounce" in case.main else "554 5.7.1"
    assert heard[-2:] == [recipient, f"S: {code} {refusal}"]


def _problems(folder: ConfigurationFolder) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as caught:
        folder.compile()
    return caught.value.problems
