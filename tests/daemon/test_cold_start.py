"""What a client waits for when its row has no process: the interpreter, and what it imports."""

import subprocess
import sys
from pathlib import Path

import pytest
from support import tiny_daemon
from support.own_master import DaemonProcess, write_snapshot

from mta.master.channel import Crossing

# Beside our own modules, and what the loop and the decoders cannot do without.
_ALLOWED = {
    "ctypes",  # Landlock
    "getopt",
    "gettext",  # getopt's
    "ipaddress",
    "json",  # the channel's, for the plugin has the standard library only
    "pwd",
    "resource",
}
_HEAVY = {
    "click",
    "dataclasses",  # each class takes as long as a module; a Struct takes next to nothing
    "dns",
    "email",
    "http.client",
    "jinja2",
    "secrets",
    "smtplib",
    "supervisor",
    "xmlrpc",
    "yaml",
}


def imported_by(program: str) -> list[str]:
    command = [sys.executable, "-I", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    return done.stdout.split()


@pytest.mark.parametrize(
    "daemon",
    [
        "bounce.__main__",
        "cleanup.__main__",
        "discard",
        "error",
        "lmtp",
        "log.__main__",
        "local.__main__",
        "lookup.__main__",
        "pipe.__main__",
        "qmgr.__main__",
        "rewrite.__main__",
        "smtp",
        "smtpd.__main__",
        "virtual.__main__",
    ],
)
def test_a_daemon_imports_nothing_heavy(daemon: str) -> None:
    """What a daemon imports is its cold start, a budget of every message that wakes a row."""
    imported = set(imported_by(f"import mta.daemons.{daemon}, sys; print(*sys.modules)"))
    assert "uvloop" in imported
    assert not imported & _HEAVY


def test_what_forks_imports_no_loop_at_all() -> None:
    """A copy of one, with its threads and descriptors, is nothing to become a user with."""
    told = "import mta.daemons.mailuser.__main__, sys; print(*sys.modules)"
    imported = set(imported_by(told))
    assert not imported & (_HEAVY | {"asyncio", "uvloop", "threading", "concurrent"})


def test_smtpd_imports_little_beside_its_loop_and_its_decoders() -> None:
    """A client waits for each of them, a millisecond or so: another one is to be measured first."""
    program = (
        "import asyncio, msgspec, sys, uvloop; before = set(sys.modules)\n"
        "import mta.daemons.smtpd.__main__; print(*sys.modules.keys() - before)"
    )
    parts = (name.split(".")[0].lstrip("_") for name in imported_by(program))
    assert set(parts) - {"mta"} <= _ALLOWED


@pytest.mark.parametrize(("program", "state"), [("-m", "False"), ("pytest", "True")])
def test_no_garbage_is_looked_for_while_a_daemon_is_imported(program: str, state: str) -> None:
    """Only where `python -m` runs it: nobody else's collector is touched."""
    told = f"import gc, sys; sys.argv[0] = {program!r}; import mta.daemons; print(gc.isenabled())"
    assert imported_by(told) == [state]


def test_garbage_is_collected_once_a_daemon_serves(tmp_path: Path) -> None:
    """Otherwise what refers to itself would stay for the life of the process."""
    (tmp_path / "readable").mkdir()
    (tmp_path / "writable").mkdir()
    write_snapshot(tmp_path)
    program = tmp_path / "tiny.py"
    program.write_text(
        "import gc, sys; gc.disable()\n"
        f"sys.path.insert(0, {str(Path(tiny_daemon.__file__).parent)!r})\n"
        "from tiny_daemon import NEEDS, TinyHandler, run\n"
        "class Telling(TinyHandler):\n"
        "    async def start(self):\n"
        "        self._context.log.info('gc', on=gc.isenabled(), frozen=gc.get_freeze_count())\n"
        "run(needs=NEEDS, handler=Telling)\n"
    )
    with DaemonProcess([str(program)], tmp_path) as daemon:
        assert daemon.hear() == Crossing("free")
        (told,) = daemon.events("gc")
    assert told["on"]
    assert told["frozen"] > 10_000, "what was imported is looked through again and again"


def test_what_is_seldom_needed_is_compiled_when_it_is() -> None:
    """The expressions for addresses in other scripts take a fifth of a daemon's start."""
    done = imported_by(
        "import mta.daemons.smtpd.__main__, mta.proto.address as it;"
        "print(it._address_utf8.cache_info().currsize + it._bare_utf8.cache_info().currsize)"
    )
    assert done == ["0"]
