"""Every example of the documents works: YAML is compiled, commands are parsed, make words exist."""

import os
import re
from pathlib import Path

import pytest
from support.certificates import Pair, make_pair
from support.examples import REPOSITORY, command_problems, configuration_problems

import mta.config.table

PAGES = [
    path
    for path in (*sorted(REPOSITORY.glob("*.md")), *sorted((REPOSITORY / "docs").rglob("*.md")))
    if "benchmarks" not in path.parts
]
NAMES = [str(path.relative_to(REPOSITORY)) for path in PAGES]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make_pair(tmp_path_factory.mktemp("tls"))


@pytest.fixture(autouse=True)
def anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    """An example does not need the users that root's system needs."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


@pytest.mark.parametrize("name", NAMES)
def test_configurations(
    tmp_path: Path, pair: Pair, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    text = (REPOSITORY / name).read_text()
    # A page may have the reader write a daemon.
    written = set(re.findall(r"`mta/daemons/(\w+)\.py`", text))
    shipped = mta.config.table.daemons()
    monkeypatch.setattr(mta.config.table, "daemons", lambda: shipped | written)
    assert configuration_problems(name, text, tmp_path, pair) == []


@pytest.mark.parametrize("name", NAMES)
def test_commands(name: str) -> None:
    assert command_problems(name, (REPOSITORY / name).read_text()) == []


def test_there_are_examples_to_try() -> None:
    """A search that finds nothing would find no mistake either."""
    text = "".join(path.read_text() for path in PAGES)
    assert text.count("```yaml") >= 10
    assert text.count("mta queue ") >= 10


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        (
            "mesage_size_limit: 5000",
            'got "mesage_size_limit"; did you mean "message_size_limit"?',
        ),
        ("# main.yml\nhopcount_limit: 0", "main.hopcount_limit: expected an integer"),
        ("services: {smtp: {numproc: 1}}", "services.smtp.numproc: expected a key of a row"),
        ("profile: hubb", "profile: expected hub"),
        ("posthouse_parameters: {hopcount: 1}", "main.hopcount: expected the name of a parameter"),
        ("posthouse_services: {smtp: {user: [a]}}", "services.smtp.user: expected a user"),
        ("a: 1\na: 2", "page.md:4:2:1: "),
        ("- a list", "page.md:4: neither main.yml, nor services.yml, nor an inventory"),
        ("services: {}\nhopcount_limit: 1", "page.md:4: neither main.yml"),
        ("posthouse_port: 25\nhopcount_limit: 1", "page.md:4: neither main.yml"),
        ("relayhost: [a", "expected YAML"),
    ],
)
def test_mistakes_in_a_block_are_found(
    tmp_path: Path, pair: Pair, block: str, problem: str
) -> None:
    page = f"# Page\n\n```yaml\n{block}\n```\n"
    found = configuration_problems("page.md", page, tmp_path, pair)
    assert found, "the mistake was not seen"
    assert problem in found[0]
    assert found[0].startswith("page.md:4")


def test_files_of_one_section_belong_together(tmp_path: Path, pair: Pair) -> None:
    table = "```yaml\nprofile: null_client\n```\n"
    null = "```yaml\nrelayhost: '[a.test]'\n```\n"
    assert configuration_problems("page.md", f"# One\n{null}{table}", tmp_path, pair) == []
    apart = configuration_problems("page.md", f"# One\n{null}# Two\n{table}", tmp_path, pair)
    assert [problem for problem in apart if "main.relayhost: expected a value" in problem] == apart
    assert len(apart) == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Say `mta inspect`.", "page.md:3: mta inspect: No such command"),
        ("    $ mta queue list --senders x | sort", "mta queue list --senders x: No such option"),
        ("    true && .local/bin/mta restart", "mta restart: Missing argument"),
        ("```sh\nmta stop now\n```", "mta stop now: Got unexpected extra argument"),
        ("See `mta queue list|remove`.", "mta queue remove: No such command"),
        ("See `mta queue list, remove`.", "mta queue remove: No such command"),
        ("    make upp  # set up", "page.md:3: make has no word 'upp'"),
        ("Say `make down PORT=1 again`.", "page.md:3: make has no word 'again'"),
        ("    mta queue list --state waiting", "is not one of"),
    ],
)
def test_mistakes_in_a_command_are_found(text: str, problem: str) -> None:
    (found,) = command_problems("page.md", f"# Page\n\n{text}\n")
    assert problem in found


@pytest.mark.parametrize(
    "text",
    [
        "Say `mta`, `mta --help`, `mta queue`, `mta restart` or `mta trace ID`.",
        "    mta -c /etc/posthouse check && mta reload   # both",
        "    mta trace --json ID | jq -r '.[] | .to'",
        "    make up PORT=2526 RELAYHOST='[127.0.0.1]:2626'",
        "```yaml\nmta inspect\n```",
        "What mta does, and what others make of it.",
    ],
)
def test_what_is_right_is_let_pass(text: str) -> None:
    assert command_problems("page.md", f"# Page\n\n{text}\n") == []
