"""Every parameter is read by the daemons that are said to use it, and by no others."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import mta
from mta.config.parameters import Parameters
from mta.config.reference import parameters_reference
from mta.config.table import daemons
from mta.config.uses import uses
from mta.submission.place import Terms

ROOT = Path(mta.__file__).parent
NAMES = frozenset(Parameters.__struct_fields__)
MASTER = "master"
SENDMAIL = "sendmail"  # a program, not a row
TERMS = "mta.config.smtp_terms"  # what smtpd makes of its parameters, and `mta check` of smtpd
# What a daemon's code reads, and the daemon does not use.
OF_NO_USE = {
    ("lmtp", "proxy_interfaces"): "a mail store at an address of ours is no loop",
    ("lmtp", "smtp_tcp_port"): "LMTP has a port of its own",
    ("lmtp", "smtp_fallback_relay"): "a mail store has no substitute",
    ("lmtp", "smtp_generic_maps"): "a mail store of this site knows our own addresses",
    ("lmtp", "header_size_limit"): "no header section is rewritten for it",
}


def source_of(module: str) -> Path | None:
    """The file of a module of ours; None if there is none."""
    path = ROOT.parent / Path(*module.split("."))
    for file in (path / "__init__.py", path.with_suffix(".py")):
        if file.exists():
            return file
    return None


@functools.cache
def parsed(module: str) -> ast.Module:
    source = source_of(module)
    assert source is not None
    return ast.parse(source.read_text())


def imports_of(module: str) -> Iterator[str]:
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def closure_of(roots: list[str]) -> set[str]:
    """All modules of ours that these import, directly or not."""
    seen: set[str] = set()
    todo = list(roots)
    while todo:
        module = todo.pop()
        if module.split(".")[0] == "mta" and module not in seen and source_of(module):
            seen.add(module)
            todo += imports_of(module)
    return seen


@functools.cache
def read_in(module: str) -> frozenset[str]:
    """The parameters that a module reads.

    PARAMETERS.name, "$name" in what NEEDS names, or where it has getattr(PARAMETERS, ...) all that
    it names.
    """
    found: set[str] = set()
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.Attribute) and _is_parameters(node.value):
            found.add(node.attr)
        elif isinstance(node, ast.Call) and _is_getattr(node):
            found |= named_in(module)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.update(re.findall(r"\A\$([a-z_]+)(?:/|\Z)", node.value))
    return frozenset(found & NAMES)


def _is_getattr(node: ast.Call) -> bool:
    is_getattr = isinstance(node.func, ast.Name) and node.func.id == "getattr"
    return is_getattr and _is_parameters(node.args[0])


def _is_parameters(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        node = node.func
    name = node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")
    return name.lstrip("_") in ("parameters", "parameters_for")


def named_in(module: str) -> set[str]:
    """The parameters that a module names: the plugin reads plain JSON."""
    texts = {node.value for node in ast.walk(parsed(module)) if isinstance(node, ast.Constant)}
    return {*NAMES} & {text for text in texts if isinstance(text, str)}


def roots_of(daemon: str) -> list[str]:
    package = ROOT / "daemons" / daemon
    names = [file.stem for file in package.glob("*.py") if file.stem != "__init__"]
    return [f"mta.daemons.{daemon}", *(f"mta.daemons.{daemon}.{name}" for name in names)]


def read_by(daemon: str) -> set[str]:
    """What a daemon reads beside what the skeleton reads for all, and the configuration's own."""
    modules = {
        module
        for module in closure_of(roots_of(daemon))
        if not module.startswith(("mta.master", "mta.config")) or module == TERMS
    }
    return {name for module in modules for name in read_in(module)}


def declared_of(user: str) -> set[str]:
    return {name for name, used in uses().items() if user in used.by}


@pytest.mark.parametrize("daemon", sorted(daemons()))
def test_a_daemon_uses_what_is_said_and_nothing_else(daemon: str) -> None:
    of_no_use = {name for user, name in OF_NO_USE if user == daemon}
    assert read_by(daemon) - of_no_use == declared_of(daemon)
    assert of_no_use <= read_by(daemon), "what is not read needs no excuse"


def test_the_master_reads_what_is_said_of_it() -> None:
    """The plugin, what all daemons have in common, and what `mta render` and `start` do."""
    modules = closure_of(
        [
            *(f"mta.master.{file.stem}" for file in (ROOT / "master").glob("[!_]*.py")),
            *(f"mta.commands.{name}" for name in ("render", "host", "start")),
        ]
    )
    plugin = {f"mta.master.plugin.{file.stem}" for file in (ROOT / "master/plugin").glob("*.py")}
    read = {name for module in modules for name in read_in(module)}
    read |= {name for module in plugin if source_of(module) for name in named_in(module)}
    assert declared_of(MASTER) <= read


def test_sendmail_reads_what_is_said_of_it() -> None:
    assert declared_of(SENDMAIL) == NAMES & {*Terms.__struct_fields__}


def test_users_are_daemons_that_there_are() -> None:
    users = {user for used in uses().values() for user in used.by}
    assert users <= daemons() | {MASTER, SENDMAIL}
    assert all(used.by for used in uses().values()), "a parameter that nobody uses is none"


@pytest.mark.parametrize("daemon", sorted(daemons()))
def test_the_daemons_own_page_lists_what_it_uses(daemon: str) -> None:
    modules = (f"mta.daemons.{daemon}", f"mta.daemons.{daemon}.__main__")
    pages = [ast.get_docstring(parsed(module)) or "" for module in modules if source_of(module)]
    section = re.search(
        r"^CONFIGURATION PARAMETERS\n((?:    .*\n)+)", "\n".join([*pages, ""]), re.MULTILINE
    )
    listed = re.findall(r"\w+", section[1]) if section else []
    assert sorted(listed) == sorted(declared_of(daemon))


@pytest.mark.parametrize("name", Parameters.__struct_fields__)
def test_a_parameter_is_documented(name: str) -> None:
    """In a sentence at least, and with all that the table knows of it."""
    entry = parameters_reference().partition(f"\n## {name}\n\n")[2].partition("\n## ")[0]
    described, _, facts = entry.partition("\n\n")
    assert len(described) >= 60
    assert described.endswith((".", "?", ")"))
    for word in ("Type: ", "Default: ", "Used by: ", "Since: ", "A change takes: "):
        assert word in facts
