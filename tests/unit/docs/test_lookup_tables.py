"""Each type of table, as the page shows it: its commands run, and say what stands below them."""

import itertools
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.configuration import ConfigurationFolder
from support.documents import blocks
from support.examples import REPOSITORY
from support.shown_tables import PLACE, lay_out
from support.socketmap_server import SocketmapServer, netstring

from mta.commands.main import mta
from mta.lookup.syntax import KINDS

NAME = "docs/how-to/use-lookup-tables.md"
PAGE = (REPOSITORY / NAME).read_text()
SESSIONS = [block for block in blocks(NAME, PAGE) if block.text.startswith("$ mta map ")]
SERVER = "inet:127.0.0.1:2000"  # of the page


@pytest.fixture
def folder(tmp_path: Path) -> ConfigurationFolder:
    """The page's tables, and its first main.yml."""
    (tmp_path / "tables").mkdir()
    made = ConfigurationFolder(tmp_path)
    laid_out = lay_out(NAME, PAGE, tmp_path / "tables")
    made.main(next(block.text for block in blocks(NAME, laid_out) if block.language == "yaml"))
    return made


@pytest.mark.parametrize("session", SESSIONS, ids=lambda block: str(block.section))
def test_what_the_page_shows(folder: ConfigurationFolder, session: object) -> None:
    place = f"{folder.directory.parent}/tables/"
    with SocketmapServer(lambda _name, _key: netstring("OK bob@example.net")) as server:
        for command, said in exchanges(getattr(session, "text", "")):
            words = shlex.split(command.replace(PLACE, place).replace(SERVER, server.address))
            result = CliRunner().invoke(mta, ["-c", str(folder.directory), *words[1:]])
            assert result.stdout.replace(place, PLACE) == said, (command, result.output)


def exchanges(text: str) -> list[tuple[str, str]]:
    """Each command, and the lines below it."""
    found: list[tuple[str, str]] = []
    for is_command, lines in itertools.groupby(text.splitlines(), lambda it: it.startswith("$ ")):
        told = list(lines)
        if is_command:
            found += [(line.removeprefix("$ "), "") for line in told]
        else:
            found[-1] = (found[-1][0], "".join(f"{line}\n" for line in told))
    return found


def test_every_type_has_an_example() -> None:
    shown = "".join(block.text for block in SESSIONS)
    assert [kind for kind in KINDS if f"{kind}:" not in shown] == []
