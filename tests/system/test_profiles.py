"""Each profile on a started system: what it has, what it leaves out, and that it does its task.

What there is, the kernel tells: processes and TCP sockets are from /proc, the rest from folders.
"""

import json
import os
import socket
from functools import partial
from pathlib import Path

import pytest
from support.dialogue import Dialogue
from support.instance import DOMAIN, Instance, NewInstance
from support.listening import tcp_listeners
from support.profile import ROWS
from support.smtp_peer import SmtpPeer
from support.waiting import wait_until

ALICE, INSIDE, ELSEWHERE = "alice@outside.test", "bob@inside.test", "carol@elsewhere.test"
MESSAGE = b"Subject: profiles\r\n\r\nText\r\n"
QUEUE = {"incoming", "deferred", "hold", "corrupt"}
HOUSE = {"config", "pid", "private", "public"}
SUBJECTS = {"probe", "queue", "trace"}  # commands that a table may leave out
INSIDER = "127.0.0.2"  # where a client of mynetworks comes from


def folders(instance: Instance) -> set[str]:
    return {path.name for path in instance.queue.iterdir()}


def sockets(instance: Instance) -> set[str]:
    return {
        f"{name}/{path.name}"
        for name in ("private", "public")
        for path in (instance.queue / name).iterdir()
    }


def left_out(instance: Instance) -> set[str]:
    """The commands that --help does not list."""
    shown = instance.mta("--help").stdout.partition("Commands:\n")[2]
    return SUBJECTS - {line.split()[0] for line in shown.splitlines() if line.strip()}


def start_every_row(instance: Instance) -> None:
    """Knock at each door: a row on demand has no process before."""
    with Dialogue("127.0.0.1", instance.port) as client:
        client.expect(220)
        for path in sorted(sockets(instance)):
            knock(instance.queue, path)
        for row in ROWS[instance.profile]:
            wait_until(partial(instance.pids, row), f"a process of {row}")


def knock(queue: Path, path: str) -> None:
    """Connect by way of a descriptor, for the socket's path may be too long."""
    folder = os.open(queue, os.O_PATH)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.connect(f"/proc/self/fd/{folder}/{path}")
    finally:
        os.close(folder)


def assert_exactly(instance: Instance, inet: set[str]) -> None:
    """Processes, sockets, ports, folders and commands are those of the profile, and no more."""
    rows = ROWS[instance.profile]
    start_every_row(instance)
    assert {process.service for process in instance.processes()} == {"", *rows}
    public = rows & {"qmgr", "pickup", "showq"}
    private = rows - public - {"log", "smtp"}
    listening = {f"private/{row}" for row in private} | {f"public/{row}" for row in public}
    assert sockets(instance) == listening
    assert tcp_listeners(instance.processes()) == inet
    maildrop = {"maildrop"} if "pickup" in rows else set()
    assert folders(instance) == QUEUE | HOUSE | maildrop
    assert left_out(instance) == set()


def deliver(instance: Instance, recipient: str, source: str = "127.0.0.1") -> None:
    with Dialogue("127.0.0.1", instance.port, source=source) as client:
        client.greeted().mail(ALICE, [recipient], MESSAGE)


def refusal(instance: Instance, recipient: str) -> str:
    """What a client hears that may not send there."""
    with Dialogue("127.0.0.1", instance.port) as client:
        client.greeted().say(f"MAIL FROM:<{ALICE}>", 250)
        return str(client.say(f"RCPT TO:<{recipient}>", 554))


def arrival(peer: SmtpPeer, recipient: str) -> None:
    wait_until(
        lambda: [message for message in peer.messages if recipient in message.recipients],
        f"a message to {recipient}",
    )


def test_hub(new_instance: NewInstance) -> None:
    """Mailboxes for its own domain, and the way out for its own networks."""
    with SmtpPeer() as world:
        instance = new_instance(
            {"mynetworks": [f"{INSIDER}/32"], "relayhost": f"[127.0.0.1]:{world.port}"}
        )
        instance.start()
        deliver(instance, f"bob@{DOMAIN}")
        instance.maildir("bob").only()
        deliver(instance, ELSEWHERE, INSIDER)
        arrival(world, ELSEWHERE)
        assert "Relay access denied" in refusal(instance, ELSEWHERE)
        assert_exactly(instance, {f"127.0.0.1:{instance.port}"})


def test_relay(new_instance: NewInstance) -> None:
    """A firewall: for the hub's domains from anybody, out from inside, and no mailboxes."""
    with SmtpPeer() as hub, SmtpPeer() as world:
        instance = new_instance(
            {
                "mynetworks": [f"{INSIDER}/32"],
                "relay_domains": ["inside.test"],
                "relay_transport": f"outbound:[127.0.0.1]:{hub.port}",
                "relayhost": f"[127.0.0.1]:{world.port}",
            },
            profile="relay",
        )
        instance.start()
        deliver(instance, INSIDE)
        arrival(hub, INSIDE)
        assert "Relay access denied" in refusal(instance, ELSEWHERE)
        assert "Relay access denied" in refusal(instance, f"bob@{DOMAIN}")
        deliver(instance, ELSEWHERE, INSIDER)
        arrival(world, ELSEWHERE)
        deliver(instance, "postmaster")  # RFC 5321, 4.5.1
        arrival(world, f"postmaster@{DOMAIN}")
        assert [message.recipients for message in hub.messages] == [(INSIDE,)]
        assert_exactly(instance, {f"127.0.0.1:{instance.port}"})


def test_null_client(new_instance: NewInstance) -> None:
    """All mail goes to one host, and waits for it; nobody but this host can hand any in."""
    with SmtpPeer() as relay:
        port = relay.port
        instance = new_instance(
            {"relayhost": f"[127.0.0.1]:{port}", "minimal_backoff_time": "1h"},
            profile="null_client",
        )
        addresses = [f"127.0.0.1:{instance.port}", f"[::1]:{instance.port}"]
        loopback = addresses if has_ipv6() else addresses[:1]
        instance.configure(services={"smtp": {"listen": [f"inet:{a}" for a in loopback]}})
        instance.start()
        deliver(instance, ELSEWHERE)
        arrival(relay, ELSEWHERE)
        deliver(instance, "postmaster")
        arrival(relay, f"postmaster@{DOMAIN}")
    deliver(instance, INSIDE)
    deferred = instance.wait_log("deferred")
    instance.stop()
    instance.start()
    assert deferred["queue_id"] in instance.mta("queue", "list").stdout
    with SmtpPeer(port=port) as relay:
        instance.mta("queue", "flush")
        arrival(relay, INSIDE)
    assert_exactly(instance, {address.replace("[", "").replace("]", "") for address in loopback})


def has_ipv6() -> bool:
    """Whether the host has ::1; containers may not."""
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


def test_maildrop_client(new_instance: NewInstance) -> None:
    """No process, no socket, no folder but that of its configuration."""
    instance = new_instance(profile="maildrop_client")
    said = instance.mta("start").stdout
    assert "(profile maildrop_client) has no service: there is nothing to start" in said
    assert "nothing runs" in instance.mta("status").stdout
    assert json.loads(instance.mta("status", "--json").stdout)["services"] == []
    assert instance.processes() == []
    assert folders(instance) == {"config"}
    assert not instance.log_file.parent.exists()
    assert left_out(instance) == SUBJECTS
    refused = instance.try_mta("queue", "list")
    assert refused.returncode == os.EX_UNAVAILABLE
    assert refused.stderr.endswith("(profile maildrop_client) has no queue\n")
    instance.reload()
    instance.stop()
    assert folders(instance) == {"config"}


def test_a_hub_becomes_a_workstation(new_instance: NewInstance) -> None:
    """What it had goes with its master; mail that waits would have stayed."""
    instance = new_instance()
    instance.start()
    deliver(instance, f"bob@{DOMAIN}")
    instance.wait_log("removed")
    instance.parameters["virtual_mailbox_domains"] = []
    instance.services.clear()
    instance.profile = "maildrop_client"
    instance.configure()
    assert "`mta stop` ends the master" in instance.mta("reload").stdout
    assert folders(instance) == QUEUE | HOUSE | {"maildrop"}
    instance.stop()
    instance.wait_gone()
    instance.mta("render")
    assert folders(instance) == {"config"}


@pytest.mark.parametrize("profile", sorted(ROWS))
def test_what_init_writes_starts(short_path: Path, new_instance: NewInstance, profile: str) -> None:
    """The newcomer's files, but for their places and ports."""
    made = new_instance(profile=profile)
    for name in ("main.yml", "services.yml"):
        (made.config / name).unlink()
    made.mta("init", profile, str(made.config))
    with (made.config / "main.yml").open("a") as main:
        main.write(f"queue_directory: {made.queue}\nlog_file: {made.log_file}\n")
    services = made.config / "services.yml"
    listen = f"    listen: ['inet:127.0.0.1:{made.port}']\n"
    lines = services.read_text().splitlines(keepends=True)
    services.write_text("".join(listen if "listen:" in line else line for line in lines))
    if profile == "hub":
        text = (made.config / "main.yml").read_text()
        (made.config / "main.yml").write_text(text.replace("/var/mail/posthouse", str(made.mail)))
    made.start()
    running = {process.service for process in made.processes()}
    running.discard("pickup")  # which is woken at the start
    assert running == ({"", "log", "qmgr"} if ROWS[profile] else set())
