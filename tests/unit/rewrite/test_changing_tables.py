"""Tables that change under a running daemon: what it answers, and with which epoch."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec import convert

from mta.config.parameters import Parameters
from mta.daemons.rewrite.handler import Rules
from mta.ipc.maps import table_failure
from mta.ipc.messages import AddressRole, Expand, Expanded, Resolve, Resolved, Rewrite, Rewritten
from mta.lookup.compile import compile_table
from mta.lookup.table import Hit, Key
from mta.proto.status import MailError

Request = Resolve | Rewrite | Expand
QUESTION = Rewrite("a@b.test", AddressRole.ENVELOPE_SENDER)


class Elsewhere:
    """The lookup service: one table, and who asks waits for every answer."""

    def __init__(self) -> None:
        self.table: dict[str, str] = {}
        self.asked: list[str] = []
        self.fails = False

    async def find(self, parameter: str, keys: Sequence[Key]) -> Hit | None:
        await asyncio.sleep(0)
        self.asked.append(parameter)
        if self.fails:
            raise table_failure(parameter, "the server is away")
        for number, key in enumerate(keys):
            if key.text in self.table:
                return Hit(number, self.table[key.text])
        return None


def rules_of(
    parameters: dict[str, Any], *, generation: int = 1, elsewhere: Elsewhere | None = None
) -> Rules:
    known = convert({"myhostname": "posthouse.test", **parameters}, Parameters)
    return Rules(known, (), generation, elsewhere or Elsewhere())


def ask(rules: Rules, request: Request = QUESTION) -> Resolved | Rewritten | Expanded:
    reply = asyncio.run(rules.answer(request))
    assert isinstance(reply, Resolved | Rewritten | Expanded)
    return reply


def now(rules: Rules) -> str:
    """What becomes of a@b.test now; the text of the status if that cannot be said."""
    try:
        return ask(rules).address  # type: ignore[union-attr]
    except MailError as error:
        return str(error.status)


FAILURE = "451 4.3.0 Temporary lookup failure"


def write_text(path: Path, text: str) -> None:
    """Replace a file as an editor does."""
    new = path.with_name("new")
    new.write_text(text)
    new.replace(path)


def compile_text(path: Path, text: str) -> None:
    """Replace a table as `mta map build` does."""
    write_text(path, text)
    compile_table(str(path))


WRITERS = {"texthash": write_text, "cdb": compile_text}


@pytest.fixture(params=list(WRITERS))
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of the table."""
    return str(request.param)


@pytest.fixture
def write(kind: str, tmp_path: Path) -> Callable[[str], None]:
    """Replaces the table."""
    return lambda text: WRITERS[kind](tmp_path / "table", text)


@pytest.fixture
def file(kind: str, tmp_path: Path) -> Path:
    """The file that is read."""
    return tmp_path / ("table.cdb" if kind == "cdb" else "table")


@pytest.fixture
def rules(kind: str, tmp_path: Path) -> Rules:
    """Canonical addresses by that table."""
    return rules_of({"canonical_maps": [f"{kind}:{tmp_path / 'table'}"]})


def test_a_replaced_table_is_seen_at_once(rules: Rules, write: Callable[[str], None]) -> None:
    write("a@b.test  c@d.test\n")
    assert now(rules) == "c@d.test"
    first = ask(rules).epoch
    assert ask(rules).epoch == first
    write("a@b.test  e@f.test\n")
    assert now(rules) == "e@f.test"
    assert ask(rules).epoch != first


def test_a_table_that_vanishes_is_a_failure_until_it_is_back(
    rules: Rules, write: Callable[[str], None], file: Path
) -> None:
    assert now(rules) == FAILURE
    write("a@b.test  c@d.test\n")
    assert now(rules) == "c@d.test"
    first = ask(rules).epoch
    file.unlink()
    assert now(rules) == FAILURE
    assert rules.tables.epoch() != first
    write("a@b.test  c@d.test\n")
    assert now(rules) == "c@d.test"


@pytest.mark.parametrize("damage", ["truncated", "a folder", "zeros", "another type", "a pipe"])
def test_a_damaged_table_is_a_failure_and_no_missing_key(
    rules: Rules, write: Callable[[str], None], file: Path, kind: str, damage: str
) -> None:
    """Else mail would leave under an address that nobody outside may see."""
    write("a@b.test  c@d.test\n" + "".join(f"k{number}  v\n" for number in range(100)))
    assert now(rules) == "c@d.test"
    content = file.read_bytes()
    file.unlink()
    match damage:
        case "truncated":
            # A text that ends early is a text, unless it ends amid a character.
            file.write_bytes(content[: len(content) // 2] + b"\xff" * (kind == "texthash"))
        case "a folder":
            file.mkdir()
        case "zeros":
            file.write_bytes(bytes(len(content)))
        case "another type":
            file.write_bytes(b"a@b.test  c@d.test\n" if kind == "cdb" else b"a@b.test")
        case "a pipe":
            file.symlink_to("/dev/fd/0")
    assert now(rules) == FAILURE


def test_all_processes_of_the_daemon_have_one_epoch(
    rules: Rules, write: Callable[[str], None], kind: str, tmp_path: Path
) -> None:
    """A client that is served by two of them in turn would forget everything each time."""
    write("a@b.test  c@d.test\n")
    parameters = {"canonical_maps": [f"{kind}:{tmp_path / 'table'}"]}
    assert ask(rules_of(parameters)).epoch == ask(rules).epoch
    assert ask(rules_of(parameters, generation=2)).epoch != ask(rules).epoch


def test_without_tables_the_epoch_is_none() -> None:
    for request in (QUESTION, Resolve("a@b.test"), Expand("a@b.test")):
        assert ask(rules_of({}), request).epoch == 0


# Tables that the lookup service opens

SERVED: dict[str, Any] = {
    name: ["socketmap:unix:/nonexistent:maps"]
    for name in ("canonical_maps", "virtual_alias_maps", "transport_maps", "relay_recipient_maps")
} | {"relay_domains": ["b.test"]}


def test_tables_elsewhere_are_asked_for_by_their_parameter() -> None:
    elsewhere = Elsewhere()
    rules = rules_of(SERVED, elsewhere=elsewhere)
    assert rules.tables.may_block
    elsewhere.table = {"a@b.test": "c@b.test", "*": "slow:[hop.test]"}
    assert now(rules) == "c@b.test"
    assert elsewhere.asked == ["canonical_maps"] * 2
    reply = ask(rules, Expand("a@b.test"))
    assert isinstance(reply, Expanded)
    assert reply.addresses == ("c@b.test",)
    reply = ask(rules, Resolve("x@b.test", listed=True))
    assert isinstance(reply, Resolved)
    assert (reply.transport, reply.nexthop) == ("slow", "[hop.test]")
    assert reply.refusal is not None
    assert reply.refusal.enhanced == "5.1.1"


def test_a_service_that_fails_is_a_failure_for_all() -> None:
    elsewhere = Elsewhere()
    elsewhere.fails = True
    rules = rules_of(SERVED, elsewhere=elsewhere)
    for request in (QUESTION, Expand("a@b.test"), Resolve("a@b.test")):
        with pytest.raises(MailError, match="the server is away") as caught:
            ask(rules, request)
        assert str(caught.value.status) == FAILURE


def test_answers_from_elsewhere_are_believed_for_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody tells of changes there, so the epoch changes by itself."""
    time = 1_000_000.0
    monkeypatch.setattr("mta.daemons.rewrite.tables.time.time", lambda: time)
    rules = rules_of(SERVED)
    first = ask(rules).epoch
    time += 1.0
    assert ask(rules).epoch == first
    time += 5.0
    assert ask(rules).epoch != first
