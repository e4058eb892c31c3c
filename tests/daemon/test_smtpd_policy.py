"""Who may relay, and how long a client may take: tables and arithmetic."""

import pytest

from mta.daemons.smtpd.patience import Patience
from mta.proto.relay import Client, Networks


@pytest.mark.parametrize(
    ("peer", "client", "text"),
    [
        (("127.0.0.1", 25), Client("127.0.0.1", 25), "[127.0.0.1]:25"),
        (("::1", 25, 0, 0), Client("::1", 25), "[::1]:25"),
        (("::ffff:192.0.2.1", 25, 0, 0), Client("192.0.2.1", 25), "[192.0.2.1]:25"),
        (("fe80::1%eth0", 25, 0, 2), Client("fe80::1", 25), "[fe80::1]:25"),
        ("", Client("", 0), "local"),
        (None, Client("", 0), "local"),
    ],
)
def test_the_client_by_its_socket(peer: object, client: Client, text: str) -> None:
    assert Client.from_peer(peer) == client
    assert str(client) == text


@pytest.mark.parametrize(
    ("address", "within"),
    [
        ("127.0.0.1", True),
        ("127.255.0.1", True),
        ("128.0.0.1", False),
        ("::1", True),
        ("::2", False),
        ("", False),
        ("192.0.2.1", True),
        ("192.0.3.1", False),
    ],
)
def test_mynetworks(address: str, within: bool) -> None:
    networks = ("127.0.0.0/8", "::1/128", "::ffff:192.0.2.0/120")
    assert (Client(address, 1) in Networks(networks)) is within


def test_patience_with_a_command() -> None:
    patience = Patience(100.0, timeout=10.0, min_data_rate=50)
    assert patience.due == 110
    patience.received(1000, 105.0)
    assert patience.due == 110
    patience.await_command(107.0)
    assert patience.due == 117


def test_patience_with_content() -> None:
    patience = Patience(100.0, timeout=10.0, min_data_rate=50)
    patience.await_content(105.0)
    patience.received(100, 109.0)
    assert patience.due == 105 + 2 + 10  # the rate is the tighter one
    patience.received(10_000, 110.0)
    assert patience.due == 120  # now the next piece is
    patience.excuse(5.0)
    assert patience.due == 125
    patience.await_command(130.0)
    assert patience.due == 140
