"""What docs/how-to/deliver-to-local-users.md shows: its aliases and .forward file, at work."""

import io
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.configuration import ConfigurationFolder
from support.documents import blocks
from support.examples import REPOSITORY
from support.local_house import HERE, LocalHouse
from support.shown_tables import PLACE, lay_out

from mta.commands.main import mta
from mta.lookup.aliases import read_aliases

NAME = "docs/how-to/deliver-to-local-users.md"
PAGE = (REPOSITORY / NAME).read_text()
BLOCKS = [block.text for block in blocks(NAME, PAGE)]
(TABLE,) = (text for text in BLOCKS if text.startswith(f"# {PLACE}"))
(FORWARD,) = (text for text in BLOCKS if text.startswith("\\ann"))
(SESSION,) = (text for text in BLOCKS if text.startswith("$ mta map "))
ALIASES = {entry.key: entry.value for entry in read_aliases(io.BytesIO(TABLE.encode()), NAME)}


@pytest.mark.parametrize(
    ("to", "done"),
    [
        ("postmaster", ["ann mbox /var/mail/ann"]),
        (
            "sales",
            [
                "ann mbox /var/mail/ann",
                "bob mbox /var/mail/bob",
                "forward from sender@far.test: carol@example.net",
            ],
        ),
        ("tickets", ["nobody runs /usr/local/bin/tickets --new"]),
        ("archive", ["nobody maildir /srv/archive/mail/"]),
        (
            "staff",
            [
                f"nobody reads {PLACE}staff",
                f"forward from owner-staff@{HERE}: bob@{HERE} joe@example.net",
            ],
        ),
    ],
)
def test_the_aliases_lead_where_the_page_says(to: str, done: list[str]) -> None:
    house = LocalHouse(ALIASES, {f"{PLACE}staff": "bob\njoe@example.net\n"})
    assert house.deliver(f"{to}@{HERE}").code == 250
    assert house.done == done


def test_the_forward_file_leads_where_the_page_says() -> None:
    house = LocalHouse(files={"/home/ann/.forward": FORWARD})
    assert house.deliver(f"ann@{HERE}").code == 250
    assert house.done == [
        "ann reads /home/ann/.forward",
        "ann mbox /var/mail/ann",
        "ann runs /usr/bin/vacation ann",
        "forward from sender@far.test: ann@example.net",
    ]


def test_what_the_page_asks(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    folder = ConfigurationFolder(tmp_path)
    lay_out(NAME, PAGE, tmp_path / "tables")
    command, _, said = SESSION.partition("\n")
    words = shlex.split(command.replace(PLACE, f"{tmp_path}/tables/"))
    result = CliRunner().invoke(mta, ["-c", str(folder.directory), *words[2:]])
    assert result.stdout == said, result.output


def test_the_environment_is_the_one_that_the_page_names() -> None:
    house = LocalHouse(files={"/home/ann/.forward": FORWARD})
    house.deliver(f"ann+x@{HERE}")
    (environment,) = house.environments
    assert [name for name in environment if f"`{name}`" not in PAGE] == []
