"""Tables of a running system: built anew, damaged, taken away. No reload, and nothing is lost.

While a table gives no answer a client hears 451 and keeps its message; once it answers again, so
does the system, in the same processes and the same generation.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.instance import DOMAIN, Instance, NewInstance
from support.waiting import wait_until

MESSAGE = b"From: a@example.org\r\nSubject: tables\r\n\r\ntext\r\n"
DAEMONS = ("smtp", "rewrite", "cleanup", "qmgr")


class House:
    """A system whose aliases are in a table: `team` is bob's, until it is said otherwise."""

    def __init__(self, instance: Instance, kind: str) -> None:
        self.instance = instance
        folder = instance.directory / "tables"
        folder.mkdir(mode=0o755)
        self.source = folder / "aliases"
        self.kind = kind
        self.file = self.source.with_name("aliases.cdb") if kind == "cdb" else self.source
        self.name = f"{kind}:{self.source}"
        self.write(f"team@{DOMAIN} bob@{DOMAIN}\n")
        instance.configure({"virtual_alias_maps": [self.name]})
        instance.start()

    def write(self, text: str) -> None:
        """Put a table with this content in place of the one that is there."""
        new = self.source.with_name("new")
        new.write_text(text)
        new.rename(self.source)
        if self.kind == "cdb":
            self.instance.mta("map", "build", self.name)

    def code(self) -> int:
        """What a client hears that names `team`."""
        with self.instance.smtp() as client:
            client.greeted().say("MAIL FROM:<a@example.org>", 250)
            client.send(f"RCPT TO:<team@{DOMAIN}>")
            return client.reply().code

    def send(self) -> None:
        with self.instance.smtp() as client:
            client.greeted().mail("a@example.org", [f"team@{DOMAIN}"], MESSAGE)

    def processes(self) -> list[int]:
        """Those that know what the table said."""
        return [pid for name in DAEMONS for pid in self.instance.pids(name)]


@pytest.fixture
def house(request: pytest.FixtureRequest, new_instance: NewInstance) -> House:
    return House(new_instance(), request.param)


@pytest.mark.parametrize("house", ["cdb", "texthash"], indirect=True)
def test_a_table_that_was_built_anew_counts_without_a_reload(house: House) -> None:
    house.send()
    house.instance.maildir("bob").wait(1)
    before = house.processes()
    house.write(f"team@{DOMAIN} carol@{DOMAIN}\n")

    def carol_has_one() -> bool:
        house.send()
        return bool(house.instance.maildir("carol").messages())

    wait_until(carol_has_one, "mail for carol", 15)
    bobs = len(house.instance.maildir("bob").messages())
    house.send()
    house.instance.wait_log("removed")
    wait_until(lambda: not house.instance.messages(), "the queue to be empty", 15)
    assert len(house.instance.maildir("bob").messages()) == bobs
    assert house.processes() == before
    assert house.instance.status()["generation"] == 1


def vanish(path: Path) -> None:
    path.unlink()


def become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def become_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o644)


def be_forbidden(path: Path) -> None:
    path.chmod(0)


def become_binary(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 64)


def be_truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 7)


def become_huge(path: Path) -> None:
    os.truncate(path, 1 << 34)


@pytest.fixture
def mended(house: House) -> Callable[[], None]:
    """Puts the table back as it was."""

    def mend() -> None:
        if house.file.is_dir():
            house.file.rmdir()
        else:
            house.file.unlink(missing_ok=True)
        house.write(f"team@{DOMAIN} bob@{DOMAIN}\n")

    return mend


DAMAGES = (
    vanish,
    become_a_folder,
    become_a_pipe,
    be_forbidden,
    become_binary,
    become_huge,
)


@pytest.mark.parametrize(
    ("house", "damage"),
    [("cdb", be_truncated), *((kind, each) for kind in ("cdb", "texthash") for each in DAMAGES)],
    indirect=["house"],
)
def test_a_table_that_gives_no_answer_puts_mail_off(
    house: House, mended: Callable[[], None], damage: Callable[[Path], None]
) -> None:
    house.send()
    before = house.processes()
    damage(house.file)
    wait_until(lambda: house.code() == 451, "the failure to be seen", 15)
    reject = house.instance.wait_log("reject", recipient=f"team@{DOMAIN}")
    assert str(house.source) in reject["reason"]
    assert house.code() == 451
    mended()
    wait_until(lambda: house.code() == 250, "the table to be read again", 15)
    house.send()
    house.instance.maildir("bob").wait(2)
    assert house.processes() == before
