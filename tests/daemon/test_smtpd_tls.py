"""smtpd over TLS: the real process, in its sandbox, with real clients and real files."""

import contextlib
import os
import re
import smtplib
import socket
import ssl
import struct
import subprocess
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.certificates import Pair, make_pair
from support.dialogue import Dialogue, trusting_context
from support.smtpd_house import House, open_house
from support.waiting import wait_until

from mta.master.channel import Command

Open = Callable[..., House]
MESSAGE = b"Subject: hello\r\n\r\n.Dots\r\n..and more\r\n"
BOB = "bob@posthouse.test"
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/bin"}
NO_TLS = "4.7.0 TLS not available due to temporary problem"
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@pytest.fixture
def pair(short_path: Path) -> Pair:
    return make_pair(short_path / "tls")


@pytest.fixture
def open_smtpd(short_path: Path, pair: Pair) -> Iterator[Open]:
    files = {"smtpd_tls_cert_file": str(pair.certificate), "smtpd_tls_key_file": str(pair.key)}
    with contextlib.ExitStack() as stack:
        yield lambda level="may", **settings: stack.enter_context(
            open_house(short_path, smtpd_tls_security_level=level, **files | settings)
        )


@pytest.fixture
def house(open_smtpd: Open) -> House:
    return open_smtpd()


@contextlib.contextmanager
def secure_client(house: House) -> Iterator[Dialogue]:
    """A client that has gone over to TLS and said EHLO again."""
    with house.client() as client:
        client.greeted().starttls()
        client.say("EHLO client.test", 250)
        yield client


def envelope(client: Dialogue) -> Dialogue:
    client.say("MAIL FROM:<alice@client.test>", 250)
    client.say(f"RCPT TO:<{BOB}>", 250)
    return client


def shown_certificate(house: House) -> bytes | None:
    with house.client() as client:
        return client.greeted().starttls().getpeercert(binary_form=True)


def ended_quietly(house: House) -> bool:
    """Whether the daemon retires, and nothing went wrong that only stderr knows."""
    house.daemon.tell(Command("retire"))
    assert house.daemon.ended() == 0
    assert house.daemon.process.stderr is not None
    assert house.daemon.process.stderr.read() == b""
    return not house.daemon.events("unhandled") + house.daemon.events("session_failed")


class TestMail:
    def test_a_message_over_tls(self, house: House) -> None:
        with house.client() as client:
            assert "STARTTLS" in client.greeted().say("EHLO client.test", 250).lines
            cipher = client.starttls().cipher()
            assert "STARTTLS" not in client.say("EHLO secure.test", 250).lines
            envelope(client).content(MESSAGE)
            client.say("STARTTLS", 554)
            client.say("QUIT", 221)
            client.expect_end()
        (submission,) = house.cleanup.submissions
        assert submission.content == MESSAGE
        origin = submission.begin.origin
        assert (origin.protocol, origin.helo) == ("ESMTPS", "secure.test")
        wait_until(lambda: house.logged("disconnect"), "the end in the log")
        assert cipher is not None
        expected = f"{cipher[1]} with cipher {cipher[0]} ({cipher[2]} bits)"
        assert [line["tls"] for line in house.logged("tls")] == [expected]
        assert [line["tls"] for line in house.logged("accepted")] == [expected]
        assert ended_quietly(house)

    def test_nobody_has_to(self, house: House) -> None:
        with house.client() as client:
            client.greeted().mail("alice@client.test", [BOB], MESSAGE)
        assert house.cleanup.submissions[0].begin.origin.protocol == "ESMTP"
        assert house.logged("accepted")[0]["tls"] is None

    def test_helo_over_tls_is_smtp(self, house: House) -> None:
        """RFC 3848 has a name for ESMTP over TLS alone."""
        with house.client() as client:
            client.greeted().starttls()
            client.say("HELO client.test", 250)
            envelope(client).content(MESSAGE)
        assert house.cleanup.submissions[0].begin.origin.protocol == "SMTP"

    def test_what_was_said_before_is_forgotten(self, house: House) -> None:
        with house.client() as client:
            envelope(client.greeted()).starttls()
            client.say(f"RCPT TO:<{BOB}>", 503)
            client.say("MAIL FROM:<alice@client.test>", 503)
            client.say("EHLO client.test", 250)
            client.say("DATA", 503)

    def test_a_whole_session_in_one_group(self, house: House) -> None:
        with secure_client(house) as client:
            client.send_octets(
                b"MAIL FROM:<>\r\nRCPT TO:<bob@posthouse.test>\r\nDATA\r\n" + MESSAGE + b".\r\n"
                b"MAIL FROM:<>\r\nRCPT TO:<bob@posthouse.test>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n"
            )
            codes = [client.reply().code for _ in range(9)]
            client.expect_end()
        assert codes == [250, 250, 354, 250, 250, 250, 354, 250, 221]

    def test_a_large_message_arrives_octet_for_octet(self, house: House) -> None:
        message = os.urandom(3_000_000).hex().encode()
        message = b"".join(message[i : i + 76] + b"\r\n" for i in range(0, len(message), 76))
        with secure_client(house) as client:
            envelope(client).content(message)
        assert house.cleanup.submissions[0].content == message

    def test_commands_in_the_same_segment_as_the_end_of_the_handshake(self, house: House) -> None:
        with house.client() as client:
            client.greeted().say("STARTTLS", 220)
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = trusting_context().wrap_bio(incoming, outgoing)
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    client.socket.sendall(outgoing.read())
                    incoming.write(client.socket.recv(65536))
            tls.write(b"EHLO client.test\r\nMAIL FROM:<>\r\nQUIT\r\n")
            client.socket.sendall(outgoing.read())
            replies = b""
            with contextlib.suppress(ssl.SSLZeroReturnError):
                while b"221 2.0.0" not in replies:
                    try:
                        replies += tls.read()
                    except ssl.SSLWantReadError:
                        incoming.write(client.socket.recv(65536))
        assert re.findall(rb"^(\d+) ", replies, re.MULTILINE) == [b"250", b"250", b"221"]

    def test_a_client_that_does_not_wait_for_the_answer(self, house: House) -> None:
        """Its message came whole, so it is in the queue; TLS cannot be closed by halves."""
        house.cleanup.committing.clear()
        with secure_client(house) as client:
            envelope(client).say("DATA", 354)
            client.send_octets(MESSAGE + b".\r\n")
            wait_until(lambda: any(s.complete for s in house.cleanup.submissions), "the message")
        house.cleanup.committing.set()
        wait_until(lambda: house.logged("disconnect"), "the end in the log")
        assert len(house.logged("accepted")) == 1
        assert ended_quietly(house)


class TestInjection:
    """What comes in plain text is not executed as if it had come over TLS (CVE-2011-0411)."""

    def test_in_the_same_segment(self, house: House) -> None:
        with house.client() as client:
            client.greeted()
            client.send("STARTTLS", "EHLO mallory.test", "MAIL FROM:<mallory@client.test>")
            client.expect(220)
            context = trusting_context()
            with context.wrap_socket(client.socket) as secure:
                secure.sendall(f"RCPT TO:<{BOB}>\r\nNOOP\r\n".encode())
                assert secure.recv(1000).startswith(b"503 5.5.1")
        assert not house.cleanup.submissions

    def test_while_a_recipient_is_resolved(self, house: House) -> None:
        house.rewrite.open.clear()
        with house.client() as client:
            client.greeted().say("MAIL FROM:<alice@client.test>", 250)
            client.send(f"RCPT TO:<{BOB}>", "STARTTLS", "EHLO mallory.test", "MAIL FROM:<>")
            client.send("RSET", "EHLO mallory.test")
            house.rewrite.open.set()
            client.expect(250)
            client.expect(220)

    def test_behind_the_220(self, house: House) -> None:
        """By then it is no command but a broken handshake."""
        with house.client() as client:
            client.greeted().say("STARTTLS", 220)
            client.send("EHLO mallory.test", "MAIL FROM:<>")
            with contextlib.suppress(ConnectionResetError):
                while data := client.socket.recv(1000):
                    assert not data.startswith(b"2")
        (line,) = wait_until(lambda: house.logged("tls_failed"), "the failure in the log")
        assert line["reason"]
        wait_until(lambda: house.logged("disconnect"), "the end in the log")
        assert ended_quietly(house)


class TestHandshake:
    def test_old_protocols_are_refused(self, house: House) -> None:
        context = trusting_context()
        context.set_ciphers("DEFAULT@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        with house.client() as client, pytest.raises(OSError):  # noqa: PT011 - uvloop sends no alert
            client.greeted().starttls(context)
        (line,) = wait_until(lambda: house.logged("tls_failed"), "the failure in the log")
        assert "protocol" in line["reason"].lower()
        assert line["client"].startswith("[127.0.0.1]:")

    def test_tls_1_2_is_taken(self, house: House) -> None:
        context = trusting_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with house.client() as client:
            client.greeted().starttls(context)
            client.say("EHLO client.test", 250)
            client.mail("alice@client.test", [BOB], MESSAGE)
        assert house.logged("tls")[0]["tls"].startswith("TLSv1.2 with cipher ECDHE-")

    @pytest.mark.parametrize("how", ["silence", "close", "half", "reset", "nonsense"])
    def test_a_client_that_does_not_do_its_part(self, open_smtpd: Open, how: str) -> None:
        house = open_smtpd(smtpd_timeout=1)
        with house.client() as client:
            client.greeted().say("STARTTLS", 220)
            match how:
                case "close":
                    client.close()
                case "half":
                    client.socket.shutdown(socket.SHUT_WR)
                case "reset":
                    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                    client.close()
                case "nonsense":
                    client.send_octets(os.urandom(1000))
            (line,) = wait_until(lambda: house.logged("tls_failed"), "the failure in the log")
            assert line["reason"]
            assert len(wait_until(lambda: house.logged("disconnect"), "the end")) == 1
        assert ended_quietly(house)

    def test_a_client_that_had_closed_before(self, house: House) -> None:
        house.rewrite.open.clear()
        with house.client() as client, house.client() as another:
            client.greeted().say("MAIL FROM:<>", 250)
            client.send(f"RCPT TO:<{BOB}>", "STARTTLS", "NOOP")
            client.socket.shutdown(socket.SHUT_WR)
            another.greeted()  # by now the daemon has seen it
            house.rewrite.open.set()
            assert [client.reply().code for _ in range(3)] == [250, 454, 250]
            client.expect_end()

    def test_without_its_master_the_daemon_waits_for_no_handshake(self, house: House) -> None:
        with house.client() as client:
            client.greeted().say("STARTTLS", 220)
            house.daemon.channel.close()
            assert house.daemon.ended() == 0
        assert len(house.logged("disconnect")) == 1
        assert not house.logged("unhandled")


class TestLevelEncrypt:
    def test_mail_is_taken_over_tls_only(self, open_smtpd: Open) -> None:
        house = open_smtpd("encrypt")
        with house.client() as client:
            client.greeted()
            reply = client.say("MAIL FROM:<alice@client.test>", 530)
            assert reply.text == "5.7.0 Must issue a STARTTLS command first"
            client.say("RCPT TO:<bob@posthouse.test>", 530)
            client.say("NOOP", 250)
            client.starttls()
            client.say("EHLO client.test", 250)
            client.mail("alice@client.test", [BOB], MESSAGE)

    def test_without_a_certificate_mail_is_put_off(self, open_smtpd: Open, pair: Pair) -> None:
        pair.certificate.unlink()
        house = open_smtpd("encrypt")
        with house.client() as client:
            client.greeted()
            assert client.say("STARTTLS", 454).text == NO_TLS
            assert client.say("MAIL FROM:<alice@client.test>", 454).text == NO_TLS


class TestCertificate:
    def test_without_one_the_session_goes_on(self, open_smtpd: Open, pair: Pair) -> None:
        pair.key.rename(pair.key.with_suffix(".away"))
        house = open_smtpd()
        (line,) = house.logged("certificate_unusable")
        assert (line["level"], line["in_use"]) == ("error", "none")
        assert line["reason"] == f"[Errno 2] No such file or directory: '{pair.key}'"
        for _ in range(3):
            with house.client() as client:
                client.greeted()
                assert client.say("STARTTLS", 454).text == NO_TLS
                client.mail("alice@client.test", [BOB], MESSAGE)
        assert len(house.logged("certificate_unusable")) == 1
        pair.key.with_suffix(".away").rename(pair.key)
        wait_until(lambda: tries_tls(house), "TLS")
        assert shown_certificate(house) == pair.der

    def test_a_renewed_one_is_read(self, house: House, pair: Pair, short_path: Path) -> None:
        assert shown_certificate(house) == pair.der
        renewed = make_pair(short_path / "renewed")
        renewed.move_to(pair)
        wait_until(lambda: shown_certificate(house) == renewed.der, "the new certificate")
        assert len(house.logged("started")) == 1

    def test_links_to_another_one(self, open_smtpd: Open, short_path: Path) -> None:
        """Let's Encrypt's live/ are links into archive/."""
        first, second = (make_pair(short_path / "archive", f"{name}.test") for name in "ab")
        live = Pair(short_path / "live/crt", short_path / "live/key", b"")
        (short_path / "live").mkdir()
        live.certificate.symlink_to(first.certificate)
        live.key.symlink_to(first.key)
        house = open_smtpd(
            smtpd_tls_cert_file=str(live.certificate), smtpd_tls_key_file=str(live.key)
        )
        assert shown_certificate(house) == first.der
        for link, file in ((live.certificate, second.certificate), (live.key, second.key)):
            link.unlink()
            link.symlink_to(file)
        wait_until(lambda: shown_certificate(house) == second.der, "the new certificate")

    def test_a_broken_one_leaves_the_old_one_in_use(self, house: House, pair: Pair) -> None:
        assert shown_certificate(house) == pair.der
        pair.certificate.write_text("no certificate at all")

        def said() -> bool:
            assert shown_certificate(house) == pair.der
            return bool(house.logged("certificate_unusable"))

        wait_until(said, "the complaint")
        (line,) = house.logged("certificate_unusable")
        assert line["in_use"] == "the one before"

    def test_a_passphrase_is_asked_of_nobody(
        self, open_smtpd: Open, pair: Pair, short_path: Path
    ) -> None:
        make_pair(short_path / "encrypted", passphrase=b"secret").move_to(pair)
        house = open_smtpd()
        (line,) = house.logged("certificate_unusable")
        assert line["reason"].startswith("the private key is encrypted")


def tries_tls(house: House) -> bool:
    with house.client() as client:
        client.greeted().send("STARTTLS")
        return client.reply().code == 220


class TestTimeAndPressure:
    def test_a_silent_client(self, open_smtpd: Open) -> None:
        house = open_smtpd(smtpd_timeout=1)
        with secure_client(house) as client:
            assert client.expect(421).text.startswith("4.4.2")
            client.expect_end()
        assert len(house.logged("timeout")) == 1

    def test_expire_sends_idle_clients_away(self, house: House) -> None:
        with secure_client(house) as client:
            house.daemon.tell(Command("expire"))
            assert client.expect(421).text.startswith("4.3.2")
            client.expect_end()

    def test_expire_lets_transactions_end(self, house: House) -> None:
        with secure_client(house) as client:
            envelope(client)
            house.daemon.tell(Command("expire"))
            house.daemon.tell(Command("retire"))
            client.content(MESSAGE)
            client.expect(421)
            client.expect_end()
        assert house.daemon.ended() == 0

    def test_without_its_master_the_daemon_hangs_up(self, house: House) -> None:
        with secure_client(house) as client:
            envelope(client)
            house.daemon.channel.close()
            assert house.daemon.ended() == 0

    def test_a_client_that_says_no_goodbye_in_tls(self, house: House) -> None:
        """Its connection is closed by the kernel, as most clients leave."""
        with house.client() as client:
            client.greeted()
            secure = client.starttls()
            client.say("EHLO client.test", 250)
            os.close(secure.detach())
        wait_until(lambda: house.logged("disconnect"), "the end in the log")
        assert ended_quietly(house)

    def test_a_cleanup_that_does_not_read_stops_the_client(self, house: House) -> None:
        house.cleanup.reading.clear()
        piece = (b"x" * 70 + b"\r\n") * 200  # fits one TLS record
        with secure_client(house) as client:
            envelope(client).say("DATA", 354)
            client.socket.settimeout(1)
            sent = 0
            with contextlib.suppress(TimeoutError):
                while sent < 100_000_000:
                    client.socket.sendall(piece)
                    sent += len(piece)
            assert sent < 100_000_000
            memory = Path(f"/proc/{house.daemon.process.pid}/statm").read_text().split()[1]
            assert int(memory) * os.sysconf("SC_PAGESIZE") < 80_000_000

    def test_a_stopped_client_goes_on_when_cleanup_reads(self, house: House) -> None:
        house.cleanup.reading.clear()
        line = b"x" * 70 + b"\r\n"
        with secure_client(house) as client:
            envelope(client).say("DATA", 354)
            client.send_octets(line * 10_000)
            wait_until(lambda: house.cleanup.submissions, "the beginning at cleanup")
            house.cleanup.reading.set()
            client.send_octets(line * 10_000 + b".\r\n")
            client.expect(250)
        assert house.cleanup.submissions[0].content == line * 20_000

    def test_a_client_that_does_not_read_is_not_served(self, open_smtpd: Open) -> None:
        house = open_smtpd(smtpd_timeout=1)
        with secure_client(house) as client:
            client.socket.settimeout(0.5)
            sent = 0
            with contextlib.suppress(TimeoutError, OSError):
                while sent < 100_000_000:
                    client.socket.sendall(b"VRFY x\r\n" * 1000)
                    sent += 8000
            assert sent < 100_000_000
            wait_until(lambda: house.logged("disconnect"), "the end in the log")
            with house.client() as another:
                another.greeted()


class TestOtherPeoplesClients:
    def test_smtplib(self, house: House) -> None:
        with smtplib.SMTP(house.host, house.port, timeout=10) as client:
            client.starttls(context=trusting_context())
            client.sendmail("alice@client.test", [BOB], MESSAGE)
        assert house.cleanup.submissions[0].content == MESSAGE

    @pytest.mark.requires("openssl")
    def test_openssl(self, house: House, pair: Pair) -> None:
        """Its verdict on the certificate: it is the one that we were told to trust."""
        where = f"{house.host}:{house.port}"
        options = ["-starttls", "smtp", "-CAfile", str(pair.certificate), "-quiet", "-crlf"]
        options += ["-verify_return_error", "-verify_hostname", "posthouse.test"]
        session = "EHLO client.test\nQUIT\n"
        said = run("openssl", "s_client", "-connect", where, *options, stdin=session)
        assert "221 2.0.0 Bye" in said

    @pytest.mark.requires("posttls-finger")
    def test_posttls_finger(self, house: House, short_path: Path) -> None:
        where = f"[{house.host}]:{house.port}"
        (short_path / "main.cf").touch()
        said = run("posttls-finger", "-c", "-l", "may", where, MAIL_CONFIG=str(short_path))
        assert "TLS connection established" in said


def run(*command: str, stdin: str = "", **environment: str) -> str:
    done = subprocess.run(
        command,
        env=ENVIRONMENT | environment,
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
