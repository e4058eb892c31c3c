"""Examples of the documents, put to what they are examples of: the check, click, the Makefile.

    # main.yml, or any other names      main.yml, over a valid one
    profile, services                   services.yml, likewise
    posthouse_...                       the local inventory, rendered by the role's templates

A main.yml and a services.yml of one section belong together. Tables that the page shows are there
(support.shown_tables). A block that is none of these is a problem: then nobody has tried it.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click
import yaml
from ansible.plugins.filter.core import FilterModule
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mta.commands.main import mta
from mta.config.compile import compile_configuration
from mta.config.errors import ConfigError
from mta.config.problems import Problems
from mta.config.source import parse
from support.certificates import Pair
from support.documents import Block, blocks, spans
from support.shown_tables import lay_out

__all__ = ["REPOSITORY", "command_problems", "configuration_problems"]

REPOSITORY: Final = Path(__file__).resolve().parents[2]
OMIT: Final = "__omit__"
_TABLE: Final = {"profile", "services"}
_KEYS: Final = ("smtpd_tls_cert_file", "smtpd_tls_key_file")
_MTA: Final = re.compile(r"(?:\.local/bin/)?mta(?= |\Z)")
_MAKE: Final = re.compile(r"make(?= |\Z)")
# Where a command begins; and what ends it, but for quotes, which shlex knows.
_BEGIN: Final = re.compile(
    r"(?:^|&&|[|;(])\s*(?:\$ )?((?:\.local/bin/)?mta|make)(?= |$)", re.MULTILINE
)
_END: Final = ("|", "&&", ";", ")", ">")
_PLACEHOLDERS: Final = {"PROFILE": "hub"}


def configuration_problems(page: str, text: str, folder: Path, pair: Pair) -> list[str]:
    """What is wrong with the page's YAML; `pair` stands for certificates that examples name."""
    found: list[str] = []
    text = lay_out(page, text, folder)
    examples = [block for block in blocks(page, text) if block.language in ("yaml", "yml")]
    for block in examples:
        problems = Problems()
        parse(block.text, block.place, problems)
        try:
            problems.raise_if_any()
            _try(block, _partner(block, examples), folder, pair)
        except ConfigError as error:
            found += [f"{block.place}: {problem}" for problem in error.problems]
        except ValueError as error:
            found.append(f"{block.place}: {error}")
    return found


def _partner(block: Block, examples: list[Block]) -> dict[str, Any]:
    """The other file of the same section, if there is exactly one."""
    others = [
        yaml.safe_load(other.text)
        for other in examples
        if other.section == block.section and _kind(other) != _kind(block)
    ]
    return others[0] if len(others) == 1 else {}


def _kind(block: Block) -> str:
    entries = yaml.safe_load(block.text)
    if not isinstance(entries, dict) or not all(isinstance(name, str) for name in entries):
        return ""
    inventory = {name for name in entries if name.startswith("posthouse_")}
    if entries.keys() <= _TABLE:
        return "services"
    if inventory:
        return "inventory" if inventory == entries.keys() else ""
    return "" if _TABLE & entries.keys() else "main"


def _try(block: Block, partner: dict[str, Any], folder: Path, pair: Pair) -> None:
    """Compile it, over what it leaves unsaid; ConfigError tells what is wrong.

    ValueError when the block is none of a configuration.
    """
    entries = yaml.safe_load(block.text)
    main = {
        "queue_directory": "/var/spool/posthouse",
        "myhostname": "mx.example.net",
        "virtual_mailbox_base": "/var/mail",
    }
    table: dict[str, Any] = {"profile": "hub"}
    match _kind(block):
        case "main":
            main |= entries
            table |= partner
        case "services":
            main |= partner
            table |= entries
        case "inventory":
            main, table = _rolled_out(entries)
        case _:
            raise ValueError("neither main.yml, nor services.yml, nor an inventory")
    if main.keys() & set(_KEYS):
        main |= {_KEYS[0]: str(pair.certificate), _KEYS[1]: str(pair.key)}
    (folder / "main.yml").write_text(yaml.safe_dump(main))
    (folder / "services.yml").write_text(yaml.safe_dump(table))
    compile_configuration(str(folder))


def _rolled_out(variables: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both files as the role configuration writes them, over the local inventory's variables."""
    environment = Environment(
        loader=FileSystemLoader(REPOSITORY / "templates"), undefined=StrictUndefined
    )
    environment.filters |= FilterModule().filters()
    environment.globals |= {"ansible_managed": "", "playbook_dir": "/srv/posthouse", "omit": OMIT}
    environment.globals["lookup"] = lambda *_: "0"
    inventory = REPOSITORY / "inventory" / "local" / "group_vars" / "posthouse.yml"
    merged: dict[str, Any] = yaml.safe_load(inventory.read_text())
    for name, value in variables.items():
        before = merged.get(name)
        merged[name] = before | value if isinstance(before, dict) else value
    while (rendered := _rendered(merged, environment, merged)) != merged:  # one names another
        merged = rendered
    texts = [
        environment.get_template(f"etc/posthouse/{name}.yml.j2").render(merged)
        for name in ("main", "services")
    ]
    main, table = map(yaml.safe_load, texts)
    return main, table


def _rendered(value: Any, environment: Environment, variables: Mapping[str, Any]) -> Any:  # noqa: ANN401 - YAML's own
    if isinstance(value, dict):
        return {name: _rendered(item, environment, variables) for name, item in value.items()}
    if isinstance(value, list):
        return [_rendered(item, environment, variables) for item in value]
    return environment.from_string(value).render(variables) if isinstance(value, str) else value


def command_problems(page: str, text: str) -> list[str]:
    """What is wrong with the page's commands: words and options that there are not."""
    found = []
    for block in blocks(page, text):
        if block.language in ("", "sh", "shell", "bash"):
            for command in _commands(block.text):
                found += [f"{block.place}: {said}" for said in _objections(command, whole=True)]
    for span in spans(page, text):
        if _MTA.match(span.text) or _MAKE.match(span.text):
            found += [f"{span.place}: {said}" for said in _objections(span.text, whole=False)]
    return found


def _commands(text: str) -> Iterator[str]:
    for begin in _BEGIN.finditer(text):
        yield text[begin.start(1) :].partition("\n")[0]


def _objections(text: str, *, whole: bool) -> Iterator[str]:
    """`whole`: the command can be run as it stands; in a sentence it may lack arguments."""
    words = _words(text if whole else re.sub(r",\s+", "|", text))
    if words[0] == "make":
        for word in words[1:]:
            if word.isalpha() and word not in _make_words():
                yield f"make has no word {word!r}"
        return
    for alternative in _alternatives(words[1:]):
        try:
            _parse(mta, "mta", alternative)
        except click.exceptions.Exit:
            continue  # --help
        except click.MissingParameter as error:
            if whole:
                yield f"mta {shlex.join(alternative)}: {error.format_message()}"
        except click.UsageError as error:
            yield f"mta {shlex.join(alternative)}: {error.format_message()}"


def _words(text: str) -> list[str]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars="&;()>")
    lexer.whitespace_split = True
    words = []
    for word in lexer:
        if word in _END:
            break
        words.append(_PLACEHOLDERS.get(word, word))
    return words


def _alternatives(words: list[str]) -> Iterator[list[str]]:
    """`queue list|show` is two commands."""
    for at, word in enumerate(words):
        if "|" in word:
            for choice in word.split("|"):
                yield from _alternatives([*words[:at], choice, *words[at + 1 :]])
            return
    yield words


def _parse(command: click.Command, name: str, words: list[str]) -> None:
    """Let click parse it without running it; a click exception says what is wrong."""
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=name)
        _, rest, _ = command.make_parser(context).parse_args(list(words))
        if rest:
            sub_name, sub, others = command.resolve_command(context, rest)
            assert sub is not None, "resolve_command has raised a UsageError"
            _parse(sub, sub_name or "", others)
        return
    command.make_context(name, list(words))


def _make_words() -> set[str]:
    (phony,) = re.findall(r"^\.PHONY: (.*)$", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    return set(phony.split())
