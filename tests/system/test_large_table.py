"""A table of a million lines: it costs daemons neither memory nor reading when they start."""

from pathlib import Path

import pytest
from bench.proc import memory
from support.instance import DOMAIN, Instance, NewInstance

ENTRIES = 1_000_000
MESSAGE = b"From: a@example.org\r\nSubject: tables\r\n\r\ntext\r\n"
TABLES = ("canonical_maps", "virtual_alias_maps", "sender_bcc_maps", "recipient_bcc_maps")
MEBIBYTE = 1 << 20


def octets_read(pid: int) -> int:
    """What a process has read by system calls since its start, from files and else."""
    fields = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(fields["rchar"])


@pytest.fixture
def table(short_path: Path) -> Path:
    source = short_path / "tables" / "aliases"
    source.parent.mkdir(mode=0o755)
    with open(source, "w") as file:
        file.writelines(f"user{n}@{DOMAIN} box{n % 100}@{DOMAIN}\n" for n in range(ENTRIES))
    return source


def deliver(instance: Instance, user: str, box: str) -> None:
    with instance.smtp() as client:
        client.greeted().mail("a@example.org", [f"{user}@{DOMAIN}"], MESSAGE)
    instance.maildir(box).wait(1)


def costs(instance: Instance, user: str, box: str) -> tuple[int, int]:
    """Octets that rewrite has read for its first message, and that all processes hold then."""
    instance.start()
    deliver(instance, user, box)
    (rewrite,) = instance.pids("rewrite")
    found = octets_read(rewrite), memory(each.pid for each in instance.processes())
    instance.stop()
    return found


def test_a_million_lines(new_instance: NewInstance, table: Path) -> None:
    instance = new_instance()
    read_without, held_without = costs(instance, "nobody", "nobody")
    instance.mta("map", "build", f"cdb:{table}", timeout=120)
    instance.configure({name: [f"cdb:{table}"] for name in TABLES})
    read, held = costs(instance, "user999999", "box99")
    assert read - read_without < MEBIBYTE
    assert held - held_without < 10 * MEBIBYTE
