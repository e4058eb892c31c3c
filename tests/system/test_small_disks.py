"""Disks that are full or read-only, really: what the load of `make fulldisk` would not show."""

import itertools
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.instance import Instance, NewInstance
from support.load import Ledger
from support.processes import kill
from support.small_disk import SmallDisk, mounted
from support.smtp_peer import Call, Script, SmtpPeer
from support.waiting import wait_until

pytestmark = [pytest.mark.requires("root"), pytest.mark.requires("mkfs.ext4")]


@pytest.fixture
def stack(short_path: Path) -> Iterator[ExitStack]:
    """For disks: asked for before `new_instance`, it is unwound after systems are closed."""
    del short_path  # and before the folder goes
    with ExitStack() as made:
        yield made


def test_the_master_outlives_its_logs_disk(
    stack: ExitStack, short_path: Path, new_instance: NewInstance
) -> None:
    """Supervisor wrote its complaint about the full disk to the full disk, and died of that."""
    instance = new_instance(directory=short_path / "system")
    logs = instance.log_file.parent
    logs.mkdir()
    disk = stack.enter_context(SmallDisk(logs, short_path / "log.img", megabytes=4, inodes=64))
    logs.chmod(0o1770)
    shutil.chown(logs, "root", "mta")
    instance.start()
    master = instance.supervisord.pid
    ledger = Ledger(instance, "bob")
    _send(ledger, instance, "before")
    disk.fill()
    for process in instance.processes("smtp") + instance.processes("virtual"):
        kill(process)
    for number in range(5):
        _send(ledger, instance, f"meanwhile-{number}")
    wait_until(lambda: set(ledger.copies()) >= set(ledger.acknowledged), "all mail")
    assert instance.supervisord.pid == master
    disk.free()
    os.kill(instance.pids("smtp")[0], signal.SIGKILL)
    _send(ledger, instance, "after")
    assert set(ledger.wait_delivered().values()) == {1}
    lost = (logs / "master/supervisord.log").read_text()
    assert "lines that could not be written: " in lost


def test_nothing_is_delivered_from_a_queue_where_it_could_not_be_noted(
    stack: ExitStack, short_path: Path, new_instance: NewInstance
) -> None:
    replies = itertools.chain(["450 4.2.0 later"], itertools.repeat("250 2.1.5 ok"))
    peer = stack.enter_context(SmtpPeer(Script(rcpt=Call(lambda: next(replies)), extensions=())))
    instance = new_instance(
        {"relayhost": f"[127.0.0.1]:{peer.port}"}, directory=short_path / "system"
    )
    instance.queue.mkdir()
    disk = stack.enter_context(
        SmallDisk(instance.queue, short_path / "queue.img", megabytes=24, inodes=1024)
    )
    for place in (short_path / "pid", instance.queue / "pid"):
        place.mkdir()
    # Its locks are open for writing: the kernel would not let the disk become read-only.
    stack.enter_context(mounted(short_path / "pid", instance.queue / "pid", "--bind"))
    instance.start()
    ledger = Ledger(instance, "bob", "example.test")
    _send(ledger, instance, "one")
    instance.wait_log("deferred")
    disk.set_read_only(read_only=True)
    instance.mta("queue", "flush")
    begun = instance.wait_log("queue_read_only")["time"]
    # smtpd looks at the disk now and then, and not for each message.
    wait_until(lambda: _answer_to_mail(instance) == 452, "no mail to be taken")
    instance.wait_log("storage_refused", reason="read-only")
    disk.set_read_only(read_only=False)
    ended = instance.wait_log("queue_writable")["time"]
    wait_until(lambda: not instance.messages(), "an empty queue")
    assert len(peer.messages) == 1
    assert not [r for r in instance.log_records("active") if begun <= r["time"] < ended]


def _answer_to_mail(instance: Instance) -> int:
    with instance.smtp() as client:
        client.greeted().send("MAIL FROM:<alice@example.org>")
        return client.reply().code


def _send(ledger: Ledger, instance: Instance, mark: str) -> None:
    with instance.smtp() as client:
        ledger.send(client.greeted(), mark)
        client.say("QUIT", 221)
