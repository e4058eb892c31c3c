"""Death and signals of supervisord: nothing orphaned, nothing doubled, nothing lost."""

import signal
import subprocess
import sys

from support.instance import Instance, NewInstance
from support.load import Ledger, Load
from support.processes import kill
from support.waiting import wait_until


def _supervisorctl(instance: Instance, *arguments: str) -> subprocess.CompletedProcess[str]:
    socket = f"unix://{instance.queue}/pid/supervisor.sock"
    command = [sys.executable, "-m", "supervisor.supervisorctl", "-s", socket, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=30, check=False, cwd=instance.queue
    )


def test_sigkill_under_load(new_instance: NewInstance) -> None:
    instance = new_instance()
    instance.start()
    ledger = Ledger(instance, "load")
    with Load(ledger, instance) as load:
        load.wait_acknowledged(20)
        orphans = [process for process in instance.processes() if process.service]
        assert len(orphans) >= 5
        kill(instance.supervisord)
        instance.wait_gone(timeout=5.0)
        instance.start()
        load.wait_acknowledged(20)
    assert len(instance.pids("qmgr")) == 1
    copies = ledger.wait_delivered()
    # One death of all processes: what was in flight then may have come twice, no more often.
    assert max(copies.values()) <= 2


def test_sigkill_and_start_at_once(new_instance: NewInstance) -> None:
    """The new supervisord meets the old children, and waits for their sockets and locks."""
    instance = new_instance()
    instance.start()
    ledger = Ledger(instance, "bob")
    with instance.smtp() as held:
        held.greeted()
        kill(instance.supervisord)
        instance.start()
        with instance.smtp() as client:
            ledger.send(client.greeted(), "after")
    ledger.wait_delivered()
    wait_until(lambda: len(instance.pids("qmgr")) == 1, "one queue manager")


def test_a_second_supervisord_is_refused(instance: Instance) -> None:
    """The lock holds even where Supervisor's own socket was removed by mistake."""
    (instance.queue / "pid" / "supervisor.sock").unlink()
    second = subprocess.run(
        [
            *(sys.executable, "-I", "-m", "supervisor.supervisord"),
            *("-n", "-c", str(instance.queue / "config" / "supervisord.conf")),
        ],
        cwd=instance.queue,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode != 0
    said = (instance.log_file.parent / "master" / "supervisord.log").read_text()
    assert f"pid/master.lock is locked by process {instance.supervisord.pid}" in said
    with instance.smtp() as client:
        client.greeted()


def test_sigterm_drains(new_instance: NewInstance) -> None:
    instance = new_instance()
    instance.start()
    ledger = Ledger(instance, "bob")
    with instance.smtp() as client:
        ledger.send(client.greeted(), "before")
        kill(instance.supervisord, signal.SIGTERM)
        assert client.expect(421).lines[0].startswith("4.3.2")
        client.expect_end()
    instance.wait_gone(timeout=60.0)
    instance.start()
    ledger.wait_delivered()


def test_stop_lets_a_transaction_finish(new_instance: NewInstance) -> None:
    instance = new_instance()
    instance.start()
    ledger = Ledger(instance, "bob")
    with instance.smtp() as client:
        client.greeted().say("MAIL FROM:<a@example.org>", 250)
        kill(instance.supervisord, signal.SIGTERM)
        instance.wait_log("drain", service="master")
        client.say(f"RCPT TO:<{ledger.recipient}>", 250)
        client.content(b"Subject: in hand\r\n\r\nhello\r\n")
        ledger.acknowledged.append("in hand")
    instance.wait_gone(timeout=60.0)
    instance.start()
    ledger.wait_delivered()


def test_sighup_reloads(instance: Instance) -> None:
    before = instance.status()["generation"]
    master = instance.supervisord
    instance.configure({"smtpd_banner": "after the signal"})
    kill(master, signal.SIGHUP)
    instance.wait_status(lambda status: status["generation"] == before + 1, "a new generation")
    with instance.smtp() as client:
        assert client.expect(220).text == "after the signal"
    assert instance.supervisord == master


def test_supervisorctl_cannot_tear_listeners_down(instance: Instance) -> None:
    master = instance.supervisord
    for verb in ("update", "reread", "reload"):
        answer = _supervisorctl(instance, verb)
        assert "mta reload" in answer.stdout + answer.stderr, f"supervisorctl {verb}"
    assert instance.supervisord == master
    with instance.smtp() as client:
        client.greeted()


def test_a_row_that_an_operator_stopped_stays_stopped(new_instance: NewInstance) -> None:
    instance = new_instance({"minimal_backoff_time": "1s"})
    instance.start()
    _supervisorctl(instance, "stop", "qmgr:*")
    instance.wait_service("qmgr", running=0, state="stopped")
    ledger = Ledger(instance, "bob")
    with instance.smtp() as client:
        ledger.send(client.greeted(), "waits")
    assert instance.pids("qmgr") == []
    assert len(instance.queue_files("incoming")) == 1
    instance.restart("qmgr")
    ledger.wait_delivered()
