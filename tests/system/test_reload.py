"""`mta reload`: new clients see the new configuration, old sessions keep theirs, all are served."""

import pytest
from support.dialogue import Dialogue
from support.instance import NewInstance
from support.load import Ledger, Load, message
from support.ports import free_port


def _announced_size(client: Dialogue) -> str:
    (size,) = [
        line for line in client.say("EHLO client.test", 250).lines if line.startswith("SIZE")
    ]
    return size


def test_a_held_session_keeps_its_generation(new_instance: NewInstance) -> None:
    instance = new_instance({"message_size_limit": 100_000}, {"smtp": {"numprocs": 1}})
    instance.start()
    before = instance.status()["generation"]
    with instance.smtp() as held:
        held.expect(220)
        instance.configure({"message_size_limit": 200_000, "smtpd_banner": "changed"})
        instance.reload()
        with instance.smtp(timeout=1.0) as client:  # greeted within a second
            assert client.expect(220).text == "changed"
            assert _announced_size(client) == "SIZE 200000"
            client.mail("a@example.org", ["new@posthouse.test"], message("new"))
        assert _announced_size(held) == "SIZE 100000"
        held.mail("a@example.org", ["old@posthouse.test"], message("old"))
        row = instance.service("smtp")
        assert (row["running"], row["retiring"]) == (1, 1)
    instance.maildir("new").wait(1)
    instance.maildir("old").wait(1)
    instance.wait_service("smtp", retiring=0)
    assert instance.status()["generation"] == before + 1


def test_addresses_open_and_close(new_instance: NewInstance) -> None:
    instance = new_instance()
    instance.start()
    first, second = instance.port, free_port()
    instance.configure(services={"smtp": {"listen": [f"inet:127.0.0.1:{second}"]}})
    instance.reload()
    with instance.smtp(port=second) as client:
        client.greeted()
    with pytest.raises(ConnectionRefusedError):
        instance.smtp(port=first)


def test_an_address_in_use_changes_nothing(new_instance: NewInstance) -> None:
    first, other = new_instance(), new_instance()
    first.start()
    other.start()
    before = first.status()["generation"]
    taken = f"inet:127.0.0.1:{other.port}"
    first.configure(services={"smtp": {"listen": [f"inet:127.0.0.1:{first.port}", taken]}})
    refused = first.mta("reload", succeeds=False)
    assert taken in refused.stderr
    assert first.status()["generation"] == before
    with first.smtp() as client:
        client.greeted()


def test_a_bad_configuration_is_never_put_live(new_instance: NewInstance) -> None:
    instance = new_instance()
    instance.start()
    before = instance.status()["generation"]
    instance.configure({"message_size_limit": "much"})
    refused = instance.mta("reload", succeeds=False)
    assert "main.yml:" in refused.stderr
    assert "message_size_limit" in refused.stderr
    assert refused.returncode == 78
    assert instance.status()["generation"] == before


def test_no_connection_is_refused_under_load(new_instance: NewInstance) -> None:
    instance = new_instance(services={"smtp": {"numprocs": 2}})
    instance.start()
    ledger = Ledger(instance, "load")
    with Load(ledger, instance) as load:
        for number in range(4):
            load.wait_acknowledged(25)
            instance.configure({"smtpd_banner": f"generation {number}"})
            instance.reload()
        load.wait_acknowledged(25)
    assert load.failures == []
    copies = ledger.wait_delivered()
    assert max(copies.values()) == 1


def test_rows_come_and_go(new_instance: NewInstance) -> None:
    instance = new_instance()
    instance.start()
    port = free_port()
    instance.configure(
        services={
            "second": {"daemon": "smtpd", "user": "mtanet", "listen": [f"inet:127.0.0.1:{port}"]}
        }
    )
    instance.reload()
    with instance.smtp(port=port) as client:
        client.greeted().say("QUIT", 221)
    instance.configure(services={"second": {"enabled": False}})
    instance.reload()
    with pytest.raises(ConnectionRefusedError):
        instance.smtp(port=port)
    instance.wait_status(
        lambda status: "second" not in {row["name"] for row in status["services"]},
        "the row's end",
    )
    assert instance.pids("second") == []
