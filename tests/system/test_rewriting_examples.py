"""The examples of the page on addresses: under each main.yml, `mta address` says what it shows."""

import re
import shlex
from typing import Any

import yaml
from support.documents import blocks
from support.examples import REPOSITORY
from support.instance import NewInstance

PAGE = "docs/how-to/rewrite-addresses.md"
SAID = re.compile(r"^    \$ mta (address .*)\n((?:    .*\n)+)", re.MULTILINE)


def examples() -> list[tuple[str, dict[str, Any], list[tuple[str, str]]]]:
    """Sections: a name, the parameters, and each command with what it says."""
    text = (REPOSITORY / PAGE).read_text()
    first, *sections = text.split("\n## ")
    base = _parameters(first)
    found = []
    for section in sections:
        said = [(command, _dedent(output)) for command, output in SAID.findall(section)]
        if said:
            found.append((section.partition("\n")[0], base | _parameters(section), said))
    return found


def _parameters(text: str) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for block in blocks(PAGE, text):
        if block.language == "yaml":
            merged |= yaml.safe_load(block.text)
    return merged


def _dedent(output: str) -> str:
    return "".join(f"{line[4:]}\n" for line in output.splitlines())


def test_mta_address_says_what_the_page_shows(new_instance: NewInstance) -> None:
    tried = examples()
    assert len(tried) >= 7
    instance = new_instance({"virtual_mailbox_domains": []})
    plain = dict(instance.parameters)
    instance.start()
    for name, parameters, commands in tried:
        instance.parameters = dict(plain)
        instance.configure(parameters)
        instance.reload()
        for command, output in commands:
            done = instance.try_mta(*shlex.split(command))
            assert (name, done.stdout) == (name, output), done.stderr
            assert done.returncode == (67 if "  refused  " in output else 0)


def test_nothing_answers(new_instance: NewInstance) -> None:
    instance = new_instance()
    instance.mta("render")
    done = instance.try_mta("address", "bob@example.com")
    assert done.returncode == 69
    assert "the running system does not answer" in done.stderr
