"""smtpd as its clients and its neighbours see it: one real process a test."""

import contextlib
import os
import smtplib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.dialogue import Dialogue
from support.smtpd_house import House, open_house
from support.waiting import wait_until

from mta.master.channel import Command
from mta.proto.envelope import Recipient
from mta.proto.status import Status

Open = Callable[..., House]
MESSAGE = b"Subject: hello\r\n\r\n.Dots\r\n..and more\r\n"
BOB = "bob@posthouse.test"
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/bin"}


@pytest.fixture
def open_smtpd(short_path: Path) -> Iterator[Open]:
    with contextlib.ExitStack() as stack:
        yield lambda **settings: stack.enter_context(open_house(short_path, **settings))


@pytest.fixture
def house(open_smtpd: Open) -> House:
    return open_smtpd()


def envelope(client: Dialogue, recipient: str = BOB) -> Dialogue:
    client.greeted()
    client.say("MAIL FROM:<alice@client.test>", 250)
    client.say(f"RCPT TO:<{recipient}>", 250)
    return client


class TestAcceptance:
    def test_a_message_goes_to_cleanup_as_it_is(self, house: House) -> None:
        with house.client() as client:
            assert client.expect(220).lines == ("posthouse.test ESMTP Posthouse",)
            client.say("EHLO client.test", 250)
            client.say("MAIL FROM:<alice@CLIENT.test> BODY=8BITMIME", 250)
            client.say("RCPT TO:<Bob@Posthouse.TEST>", 250)
            reply = client.content(MESSAGE)
            port = client.socket.getsockname()[1]
        assert str(reply) == "250 2.0.0 Ok: queued as 0000000000000000000000"
        (submission,) = house.cleanup.submissions
        assert submission.content == MESSAGE
        assert submission.recipients == [Recipient("Bob@posthouse.test", "Bob@Posthouse.TEST")]
        begin = submission.begin
        assert (begin.sender, begin.body_8bit) == ("alice@client.test", True)
        origin = begin.origin
        assert (origin.protocol, origin.helo, origin.service) == ("ESMTP", "client.test", "smtp")
        assert (origin.client_address, origin.client_port) == ("127.0.0.1", port)

    def test_the_log_tells_the_session(self, house: House) -> None:
        with house.client() as client:
            envelope(client).content(MESSAGE)
            client.say("RCPT TO:<x@elsewhere.test>", 503)
            client.say("QUIT", 221)
            client.expect_end()
            name = f"[127.0.0.1]:{client.socket.getsockname()[1]}"
        wait_until(lambda: house.logged("disconnect"), "the end in the log")
        for event in ("connect", "accepted", "reject", "disconnect"):
            (line,) = house.logged(event)
            assert line["client"] == name
        (accepted,) = house.logged("accepted")
        assert accepted["queue_id"] == "0000000000000000000000"
        assert accepted["size"] == len(MESSAGE)
        (disconnect,) = house.logged("disconnect")
        assert (disconnect["messages"], disconnect["commands"]) == (1, 6)

    def test_250_comes_after_the_commit_and_not_before(self, house: House) -> None:
        house.cleanup.committing.clear()
        with house.client() as client:
            envelope(client).say("DATA", 354)
            client.send_octets(MESSAGE + b".\r\n")
            wait_until(lambda: any(s.complete for s in house.cleanup.submissions), "the message")
            client.socket.settimeout(0.2)
            with pytest.raises(TimeoutError):
                client.socket.recv(1)
            client.socket.settimeout(10)
            house.cleanup.committing.set()
            assert client.socket.recv(100).startswith(b"250 2.0.0")

    def test_a_whole_session_in_one_group(self, house: House) -> None:
        with house.client() as client:
            client.send_octets(
                b"EHLO client.test\r\nMAIL FROM:<>\r\nRCPT TO:<bob@posthouse.test>\r\n"
                b"RCPT TO:<carol@posthouse.test>\r\nDATA\r\n" + MESSAGE + b".\r\n"
                b"MAIL FROM:<a@client.test>\r\nRCPT TO:<postmaster>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n"
            )
            codes = [client.reply().code for _ in range(12)]
            client.expect_end()
        assert codes == [220, 250, 250, 250, 250, 354, 250, 250, 250, 354, 250, 221]
        assert [len(s.recipients) for s in house.cleanup.submissions] == [2, 1]
        assert house.cleanup.submissions[0].begin.sender == ""

    def test_a_large_message_arrives_octet_for_octet(self, house: House) -> None:
        message = os.urandom(3_000_000).hex().encode()
        message = b"".join(message[i : i + 76] + b"\r\n" for i in range(0, len(message), 76))
        with house.client() as client:
            envelope(client).content(message)
        (submission,) = house.cleanup.submissions
        assert submission.content == message

    def test_an_ipv6_client(self, open_smtpd: Open) -> None:
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError as error:
            pytest.skip(f"needs IPv6 on the loopback: {error}")
        house = open_smtpd(host="::1")
        with house.client() as client:
            envelope(client, "x@posthouse.test").content(MESSAGE)
        assert house.cleanup.submissions[0].begin.origin.client_address == "::1"
        assert house.logged("connect")[0]["client"].startswith("[::1]:")

    def test_what_came_before_the_end_of_file_is_answered(self, house: House) -> None:
        """`printf ... | nc` closes its half at once."""
        with house.client() as client:
            client.send("EHLO client.test", "MAIL FROM:<>", f"RCPT TO:<{BOB}>", "DATA", "x", ".")
            client.socket.shutdown(socket.SHUT_WR)
            assert [client.reply().code for _ in range(6)] == [220, 250, 250, 250, 354, 250]
            client.expect_end()


class TestRelaying:
    @pytest.mark.parametrize(
        ("mynetworks", "transport", "recipient", "code"),
        [
            (["127.0.0.0/8"], "smtp", "x@elsewhere.test", 250),
            (["127.0.0.0/8"], "", "x@elsewhere.test", 554),
            (["192.0.2.0/24"], "smtp", "x@elsewhere.test", 554),
            ([], "smtp", "x@elsewhere.test", 554),
            ([], "", BOB, 250),
            ([], "", "postmaster", 250),
            ([], "smtp", "postmaster@elsewhere.test", 554),
            ([], "smtp", "x@relayed.test", 250),
            ([], "", "x@relayed.test", 250),
            ([], "smtp", "x@sub.relayed.test", 554),
            ([], "smtp", '"x@elsewhere.test"@relayed.test', 554),
            ([], "smtp", "x%elsewhere.test@relayed.test", 554),
            ([], "smtp", "elsewhere.test!x@relayed.test", 554),
            (["127.0.0.0/8"], "smtp", "x%elsewhere.test@relayed.test", 250),
            ([], "smtp", "@relayed.test:x@elsewhere.test", 554),
        ],
    )
    def test_no_relaying_for_strangers(
        self, open_smtpd: Open, mynetworks: list[str], transport: str, recipient: str, code: int
    ) -> None:
        house = open_smtpd(
            mynetworks=mynetworks, default_transport=transport, relay_domains=["relayed.test"]
        )
        with house.client() as client:
            client.greeted().say("MAIL FROM:<alice@client.test>", 250)
            reply = client.say(f"RCPT TO:<{recipient}>", code)
        if code == 554:
            assert reply.text == f"5.7.1 <{recipient}>: Relay access denied"
            (line,) = house.logged("reject")
            assert line["recipient"] == recipient


class TestRefusal:
    def test_cleanups_refusal_is_the_clients_answer(self, house: House) -> None:
        house.cleanup.refusal = Status(452, "4.3.1", "Insufficient system storage")
        with house.client() as client:
            reply = envelope(client).content(MESSAGE, 452)
            assert str(reply) == "452 4.3.1 Insufficient system storage"
        assert house.logged("reject")[0]["reason"] == "the test wants it"

    def test_without_rewrite_recipients_are_deferred(self, house: House) -> None:
        house.rewrite.close()
        with house.client() as client:
            client.greeted().say("MAIL FROM:<alice@client.test>", 250)
            client.say(f"RCPT TO:<{BOB}>", 451)
            client.say("DATA", 554)

    def test_without_cleanup_mail_is_deferred(self, house: House) -> None:
        house.cleanup.close()
        with house.client() as client:
            envelope(client).content(MESSAGE, 451)
            client.say("NOOP", 250)

    def test_cleanups_death_in_the_middle_of_content_is_deferral(self, house: House) -> None:
        with house.client() as client:
            envelope(client).say("DATA", 354)
            client.send_octets(b"x" * 70 + b"\r\n")
            client.send_octets((b"x" * 70 + b"\r\n") * 2000)
            wait_until(lambda: house.cleanup.submissions, "the beginning at cleanup")
            house.cleanup.close()
            client.send_octets((b"x" * 70 + b"\r\n") * 2000)
            client.send_octets(b".\r\n")
            client.expect(451)
            client.say("NOOP", 250)

    def test_too_much_content_is_swallowed_and_cleanup_spared(self, open_smtpd: Open) -> None:
        house = open_smtpd(message_size_limit=100_000)
        with house.client() as client:
            envelope(client).content((b"x" * 70 + b"\r\n") * 20_000, 552)
            client.say("NOOP", 250)
            # None at all if the first read brought more than the limit.
            submissions = house.cleanup.submissions
            wait_until(lambda: all(it.abandoned for it in submissions), "the end at cleanup")
        assert not any(submission.complete for submission in submissions)
        assert all(len(submission.content) <= 100_000 for submission in submissions)

    def test_too_many_errors_end_the_session(self, open_smtpd: Open) -> None:
        house = open_smtpd(smtpd_hard_error_limit=3)
        with house.client() as client:
            client.greeted()
            client.send(*["NONSENSE"] * 9)
            assert [client.reply().code for _ in range(4)] == [500, 500, 500, 421]
            client.expect_end()


class TestClientsThatGoAway:
    def test_in_the_middle_of_content(self, house: House) -> None:
        with house.client() as client:
            envelope(client).say("DATA", 354)
            client.send_octets((b"x" * 70 + b"\r\n") * 2000)
            wait_until(lambda: house.cleanup.submissions, "the beginning at cleanup")
        (submission,) = house.cleanup.submissions
        wait_until(lambda: submission.abandoned, "the end at cleanup")
        wait_until(lambda: house.logged("disconnect"), "the end in the log")
        assert not house.logged("accepted")

    def test_while_the_message_is_committed(self, house: House) -> None:
        """The message has come whole: it is in the queue, and the log says so."""
        house.cleanup.committing.clear()
        client = house.client()
        envelope(client).say("DATA", 354)
        client.send_octets(MESSAGE + b".\r\n")
        wait_until(lambda: any(s.complete for s in house.cleanup.submissions), "the message")
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()  # with a reset
        house.cleanup.committing.set()
        wait_until(lambda: house.logged("disconnect"), "the end in the log")
        assert len(house.logged("accepted")) == 1

    def test_while_a_recipient_is_resolved(self, house: House) -> None:
        house.rewrite.open.clear()
        client = house.client()
        client.greeted().say("MAIL FROM:<alice@client.test>", 250)
        client.send(f"RCPT TO:<{BOB}>")
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        wait_until(lambda: house.logged("disconnect"), "the end in the log")
        house.rewrite.open.set()
        with house.client() as another:
            envelope(another).content(MESSAGE)


class TestTime:
    def test_a_silent_client(self, open_smtpd: Open) -> None:
        house = open_smtpd(smtpd_timeout=1)
        with house.client() as client:
            client.greeted()
            assert client.expect(421).text.startswith("4.4.2")
            client.expect_end()

    def test_a_command_in_drops(self, open_smtpd: Open) -> None:
        """Octets alone buy no time."""
        house = open_smtpd(smtpd_timeout=1)
        with house.client() as client:
            client.greeted()
            started = time.monotonic()
            with contextlib.suppress(OSError):
                while time.monotonic() - started < 3:
                    client.send_octets(b"x")
                    client.socket.settimeout(0.1)
                    with contextlib.suppress(TimeoutError):
                        assert client.socket.recv(100).startswith(b"421 4.4.2")
                        break
            assert 0.9 < time.monotonic() - started < 2.5

    def test_content_in_drops(self, open_smtpd: Open) -> None:
        """Pieces buy time, but only as much as the least rate gives for them."""
        house = open_smtpd(smtpd_timeout=1, smtpd_min_data_rate=100)
        with house.client() as client:
            envelope(client).say("DATA", 354)
            started = time.monotonic()
            client.socket.settimeout(0.1)
            for _ in range(50):
                client.send_octets(b"12345")
                with contextlib.suppress(TimeoutError):
                    assert client.socket.recv(100).startswith(b"421 4.4.2")
                    break
            assert 0.9 < time.monotonic() - started < 4

    def test_our_own_slowness_is_not_the_clients(self, open_smtpd: Open) -> None:
        house = open_smtpd(smtpd_timeout=1)
        house.cleanup.committing.clear()
        with house.client() as client:
            envelope(client).say("DATA", 354)
            client.send_octets(MESSAGE + b".\r\n")
            time.sleep(1.5)  # longer than smtpd_timeout
            house.cleanup.committing.set()
            client.expect(250)
            client.say("NOOP", 250)


class TestBackPressure:
    def test_a_cleanup_that_does_not_read_stops_the_client(self, house: House) -> None:
        house.cleanup.reading.clear()
        piece = (b"x" * 70 + b"\r\n") * 1000
        with house.client() as client:
            envelope(client).say("DATA", 354)
            client.socket.settimeout(1)
            sent = 0
            with contextlib.suppress(TimeoutError):
                while sent < 100_000_000:
                    sent += client.socket.send(piece[sent % len(piece) :])
            assert sent < 100_000_000
            memory = Path(f"/proc/{house.daemon.process.pid}/statm").read_text().split()[1]
            assert int(memory) * os.sysconf("SC_PAGESIZE") < 80_000_000
            house.cleanup.reading.set()
            client.socket.settimeout(10)
            client.send_octets(piece[sent % len(piece) :] + b".\r\n")
            client.expect(552 if sent > 10_200_000 else 250)

    def test_a_client_that_does_not_read_is_not_served(self, open_smtpd: Open) -> None:
        house = open_smtpd(smtpd_timeout=1)
        with house.client() as client:
            client.greeted()
            client.socket.settimeout(0.5)
            sent = 0
            with contextlib.suppress(TimeoutError, ConnectionError):
                while sent < 100_000_000:
                    sent += client.socket.send(b"VRFY x\r\n" * 10_000)
            assert sent < 100_000_000
            wait_until(lambda: house.logged("disconnect"), "the end in the log")
            with house.client() as another:
                another.greeted()


class TestTheMastersOrders:
    def test_expire_sends_idle_clients_away(self, house: House) -> None:
        with house.client() as client:
            client.greeted()
            house.daemon.tell(Command("expire"))
            assert client.expect(421).text.startswith("4.3.2")
            client.expect_end()

    def test_expire_lets_transactions_end(self, house: House) -> None:
        with house.client() as client:
            envelope(client)
            house.daemon.tell(Command("expire"))
            house.daemon.tell(Command("retire"))
            client.say(f"RCPT TO:<carol@{BOB.partition('@')[2]}>", 250)
            client.content(MESSAGE)
            client.expect(421)
            client.expect_end()
        assert house.daemon.ended() == 0

    def test_retire_changes_nothing_for_a_client(self, house: House) -> None:
        with house.client() as client:
            client.greeted()
            house.daemon.tell(Command("retire"))
            client.mail("alice@client.test", [BOB], MESSAGE)
            client.mail("alice@client.test", [BOB], MESSAGE)
            client.say("QUIT", 221)
        assert house.daemon.ended() == 0


class TestOtherPeoplesClients:
    def test_smtplib(self, open_smtpd: Open) -> None:
        house = open_smtpd(mynetworks=[])
        with smtplib.SMTP(house.host, house.port, timeout=10) as client:
            assert client.ehlo("client.test")[0] == 250
            assert client.has_extn("pipelining")
            assert client.esmtp_features["size"] == "10240000"
            refused = client.sendmail("alice@client.test", [BOB, "x@elsewhere.test"], MESSAGE)
        assert set(refused) == {"x@elsewhere.test"}
        assert house.cleanup.submissions[0].content == MESSAGE

    @pytest.mark.requires("swaks")
    def test_swaks(self, house: House) -> None:
        server = ["--server", house.host, "--port", str(house.port)]
        done = subprocess.run(
            ["swaks", *server, "--from", "alice@client.test", "--to", BOB, "--pipeline"],
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        assert len(house.cleanup.submissions) == 1

    @pytest.mark.requires("smtp-source")
    def test_smtp_source(self, house: House) -> None:
        """Ten sessions in parallel, with several messages a session."""
        server = f"inet:{house.host}:{house.port}"
        done = subprocess.run(
            ["smtp-source", *["-s", "10", "-m", "50", "-l", "4096", "-d", "-t"], BOB, server],
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert sum(s.complete for s in house.cleanup.submissions) == 50
