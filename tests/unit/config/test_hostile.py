"""Files that nobody sane writes: an error with its place, in bounded time and memory.

The kernel holds the bounds, not a clock: `mta check` runs in a child that may use so much.
"""

import json
import os
import re
import resource
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.configuration import SERVICES, ConfigurationFolder

from mta.commands.main import mta
from mta.config.problems import KEPT

MEMORY = 512 * 1024 * 1024  # octets of address space; an interpreter with the libraries has half
SECONDS = 20  # of processor time; what is sound takes a fifth of one
PROOF = 25  # lines of a problem: an open relay has a session
MAIN = """\
queue_directory: /var/spool/posthouse
log_file: /var/log/posthouse/mail.log
myhostname: posthouse.test
virtual_mailbox_domains: [posthouse.test, other.test]
virtual_mailbox_base: /var/mail/virtual
mynetworks: [127.0.0.0/8, "10.0.0.0/8"]
smtpd_timeout: 5m
"""


def check(folder: ConfigurationFolder, *options: str) -> subprocess.CompletedProcess[bytes]:
    """Run `mta check` with so much memory and time; more of it would end it by a signal."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))

    command = [sys.executable, "-I", "-m", "mta.commands", "check", str(folder.directory), *options]
    return subprocess.run(command, capture_output=True, check=False, preexec_fn=limit)


def refused(folder: ConfigurationFolder) -> list[str]:
    """The lines that tell why; each begins with a place, and none can harm a terminal."""
    done = check(folder)
    assert done.returncode == os.EX_CONFIG, done.stderr[-2000:]
    assert done.stdout == b""
    lines = done.stderr.decode().splitlines()
    assert 0 < len(lines) <= KEPT * PROOF + 2
    for line in lines:
        assert line.isprintable()
        assert line.startswith(("main.yml", "services.yml", str(folder.directory)))
        assert re.search(r": expected .+, got .|: (?:[CS]: |A stranger )", line)
        assert len(line) < 3000
    return lines


def _levels(count: int, width: int) -> str:
    lines = ["a0: &a0 [x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, count)]
    return "\n".join(lines)


TEXTS: dict[str, tuple[str, str]] = {
    "an alias bomb": (_levels(30, 30), "expected no anchors and aliases, got &a0"),
    "an anchor of itself": ("a: &a [*a]\n", "expected no anchors and aliases, got &a"),
    "an alias of nothing": ("a: *a\n", "expected no anchors and aliases, got *a"),
    "a merge key": ("a: &a {b: 1}\nc: {<<: *a}\n", "expected no anchors"),
    "depth": ("[" * 500_000, "expected at most 16 levels"),
    "50,000 unknown names": (
        MAIN + "".join(f"mynetwork{n}: 1\n" for n in range(50_000)),
        f"expected at most {KEPT} errors to tell, got 49900 more",
    ),
    "100,000 wrong items": (
        f"{MAIN}proxy_interfaces: [{'{}, ' * 100_000}]\n",
        f"expected at most {KEPT} errors to tell, got 99900 more",
    ),
    "100,000 items that are no addresses": (
        f"{MAIN}proxy_interfaces: [{'a, ' * 100_000}]\n",
        f"expected at most {KEPT} errors to tell, got 99900 more",
    ),
    "the same name again and again": ("a: 1\n" * 100_000, "expected each name once"),
    "one huge scalar": (f"myhostname: {'a' * 1_000_000}\n", "expected a domain name"),
    "one huge list in a scalar": (f"myhostname: '{'a.' * 500_000}'\n", "expected a domain name"),
    "one huge name": (f"? {'a' * 1_000_000}\n: 1\n", "expected the name of a parameter"),
    "40,000 domains where strangers would be": (
        MAIN.replace("[127.0.0.0/8, ", "[0.0.0.0/0, ").replace(
            "[posthouse.test, other.test]",
            f"[elsewhere.example, {', '.join(f'elsewhere{n}.example' for n in range(1, 40_000))}]",
        ),
        "C: RCPT TO:<victim@elsewhere40000.example>",
    ),
    "a long number": (f"hopcount_limit: {'9' * 500_000}\n", "expected an integer"),
    "NULs": ("a: \0\0\0\n", "expected YAML, got what is none"),
    "an escaped NUL": (f'{MAIN}relayhost: "a\\0b"\n', 'got "a\\u0000b"'),
    "control characters in a value": (
        f'{MAIN}smtpd_tls_cert_file: "/a\\e[31m\\u009b\\u202e"\n',
        "text without control characters",
    ),
    "control characters in a name": ('"\\e[2J\\n\\r": 1\n', 'got "\\x1b[2J\\n\\r"'),
    "a directive": ("%YAML 9.9\n---\na: 1\n", "expected YAML, got what is none"),
    "many documents": ("---\na: 1\n" * 50_000, "expected one document"),
    "question marks": ("? " * 500_000, "main.yml"),
    "colons": (": " * 500_000, "main.yml"),
    "quotes": ('"' * 999_999, "main.yml"),
    "open flow mappings": ("{a: " * 200_000, "expected at most 16 levels"),
    "a long line of indicators": ("!<" + "&*%@`" * 150_000, "main.yml"),
    "no mapping": ("- " * 10 + "a\n", "main.yml"),
    "10 MB": ("#" * 10_000_000, "main.yml: expected at most 1048576 octets"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts(folder: ConfigurationFolder, name: str) -> None:
    text, told = TEXTS[name]
    folder.services("profile: hub\n")
    (folder.directory / "main.yml").write_text(text)
    assert any(told in line for line in refused(folder)), refused(folder)[:3]


ROWS: dict[str, tuple[str, str]] = {
    "70,000 rows": (
        "".join(f" r{n}: {{}}\n" for n in range(70_000)),
        "expected at most 100 errors to tell, got 69900 more",
    ),
    "15,000 rows that listen to one address": (
        "".join(f' r{n}: {{daemon: smtpd, listen: ["inet:0.0.0.0:25"]}}\n' for n in range(15_000)),
        "expected a place that no row has yet",
    ),
    "3,000 rows with networks of their own": (
        "".join(
            f' r{n}: {{daemon: smtpd, listen: ["inet:0.0.0.0:{n + 30}"], '
            "settings: {mynetworks: [0.0.0.0/0]}}\n"
            for n in range(3_000)
        ),
        "expected at most 100 errors to tell",
    ),
    "a daemon with a path in its name": (" r: {daemon: ../../x}\n", "services.r.daemon: expected"),
    "a command for the terminal": (
        ' r: {daemon: x, command: ["/bin/a\\e[31m"]}\n',
        "expected printable text",
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_rows(folder: ConfigurationFolder, name: str) -> None:
    text, told = ROWS[name]
    folder.services(f"profile: hub\nservices:\n{text}")
    assert any(told in line for line in refused(folder)), refused(folder)[:3]


def test_20_000_networks_for_1_000_rows(folder: ConfigurationFolder) -> None:
    networks = ", ".join(
        f"{a}.{b}.{c}.0/25" for a in (11, 12) for b in range(100) for c in range(100)
    )
    (folder.directory / "main.yml").write_text(
        f"{MAIN}mynetworks: [{networks}]\n".replace('mynetworks: [127.0.0.0/8, "10.0.0.0/8"]\n', "")
    )
    rows = "".join(
        f' r{n}: {{daemon: smtpd, user: mtanet, listen: ["inet:0.0.0.0:{n + 100}"]}}\n'
        for n in range(1_000)
    )
    folder.services(f"profile: hub\nservices:\n{rows}")
    done = check(folder)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr.decode().count("\n") == 1
    assert b"public IPv4 addresses" in done.stderr


def test_what_no_daemon_could_load(folder: ConfigurationFolder) -> None:
    """Each file is small enough, and the generation that they make is not."""
    networks = ", ".join(f"11.{n >> 8}.{n & 255}.0/24" for n in range(60_000))
    folder.main(f"mynetworks: [{networks}]\n")
    rows = "".join(
        f" r{n}: {{daemon: smtp, user: mtanet, listen: [ipc:private/r{n}]}}\n"
        for n in range(13_500)
    )
    folder.services(f"profile: hub\nservices:\n{rows}")
    told = "services.yml: services: expected at most 4194304 octets once compiled"
    assert any(line.startswith(told) for line in refused(folder))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (MAIN.encode("utf-16"), "main.yml:1:1: expected text in UTF-8, got the octet 0xff"),
        (MAIN.encode("utf-16-be"), "main.yml:1:1: expected YAML"),
        (f"{MAIN}# é\n".encode("latin-1"), "main.yml:8:3: expected text in UTF-8"),
        (MAIN.encode()[:40] + b"\xed\xa0\x80", "expected text in UTF-8"),
    ],
    ids=["UTF-16", "UTF-16 without its mark", "Latin-1", "a surrogate"],
)
def test_encodings(folder: ConfigurationFolder, data: bytes, told: str) -> None:
    (folder.directory / "main.yml").write_bytes(data)
    assert any(line.startswith(told) or told in line for line in refused(folder))


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + MAIN.encode(),
        MAIN.encode().replace(b"\n", b"\r\n"),
        MAIN.encode().replace(b"\n", b"\r"),
    ],
    ids=["a byte order mark", "CR LF", "CR"],
)
def test_what_other_systems_write_is_read(folder: ConfigurationFolder, data: bytes) -> None:
    (folder.directory / "main.yml").write_bytes(data)
    done = check(folder)
    assert done.returncode == 0, done.stderr


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def _dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def _looping(path: Path) -> None:
    path.symlink_to(path)


def _zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


THINGS: list[tuple[Callable[[Path], object], str]] = [
    (os.mkfifo, "expected a regular file, got a FIFO; put the file itself there"),
    (Path.mkdir, "expected a regular file, got a directory; put the file itself there"),
    (_socket, "expected a regular file, got a socket; put the file itself there"),
    (_zeros, "expected a regular file, got a device; put the file itself there"),
    (_dangling, "expected a file that can be read, got an error (No such file or directory); "),
    (
        _looping,
        "expected a file that can be read, got an error (Too many levels of symbolic links)",
    ),
]


@pytest.mark.parametrize("file", ["main.yml", "services.yml"])
@pytest.mark.parametrize(("make", "told"), THINGS, ids=[told[-40:] for _, told in THINGS])
def test_things_in_place_of_a_file(
    folder: ConfigurationFolder, make: Callable[[Path], object], told: str, file: str
) -> None:
    path = folder.directory / file
    path.unlink()
    make(path)
    (line,) = refused(folder)
    assert line.startswith(f"{path}: {told}")


@pytest.mark.parametrize(("make", "told"), THINGS, ids=[told[-40:] for _, told in THINGS])
def test_things_in_place_of_a_key(
    folder: ConfigurationFolder, make: Callable[[Path], object], told: str
) -> None:
    path = folder.directory.parent / "key"
    make(path)
    folder.main(f"smtpd_tls_security_level: may\nsmtpd_tls_cert_file: {path}\n")
    (line,) = refused(folder)
    assert line.startswith(f"main.yml:6:22: main.smtpd_tls_cert_file: {told[:28]}")


def test_no_permission(short_path: Path) -> None:
    folder = ConfigurationFolder(short_path)
    (folder.directory / "main.yml").chmod(0)
    user = 65534 if os.geteuid() == 0 else None
    command = [sys.executable, "-I", "-m", "mta.commands", "check", str(folder.directory), "--json"]
    done = subprocess.run(command, capture_output=True, check=False, user=user)
    assert done.returncode == os.EX_CONFIG, done.stderr
    (error,) = json.loads(done.stdout)["errors"]
    assert (error["file"], error["line"]) == (f"{folder.directory}/main.yml", 0)
    assert error["found"] == "an error (Permission denied)"
    assert error["suggestion"] == "check it as a user who may read it"


characters = st.characters(codec="utf-8")
yaml_like = st.text("ab:-[]{},&*!|>'\"%#@?\n\t 01.~\\e\0\x85\u2028", max_size=120)
words = st.sampled_from(
    [*MAIN.split(), *SERVICES.split(), "settings:", "daemon:", "listen:", "inet:[::]:25", "{", "}"]
)


def told_of(folder: ConfigurationFolder) -> None:
    """Whatever is there, `mta check` says what it thinks of it, and never how it broke."""
    for options in ([], ["--json"]):
        result = CliRunner().invoke(mta, ["check", str(folder.directory), *options])
        assert result.exit_code in (0, os.EX_CONFIG), (result.output, result.exception)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        if options:
            found = json.loads(result.stdout)
            assert bool(found["errors"]) == (result.exit_code == os.EX_CONFIG)
        else:
            assert all(line.isprintable() for line in result.stderr.splitlines())


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> ConfigurationFolder:
    """One folder for all examples, which write both files anew."""
    return ConfigurationFolder(tmp_path_factory.mktemp("hostile"))


hostile = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@hostile
@given(main=st.text(characters, max_size=100) | yaml_like, services=yaml_like)
def test_any_text(shared: ConfigurationFolder, main: str, services: str) -> None:
    (shared.directory / "main.yml").write_text(main)
    shared.services(services)
    told_of(shared)


@hostile
@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_octets(shared: ConfigurationFolder, main: bytes, services: bytes) -> None:
    (shared.directory / "main.yml").write_bytes(main)
    (shared.directory / "services.yml").write_bytes(services)
    told_of(shared)


@hostile
@given(
    data=st.data(),
    which=st.sampled_from([("main.yml", MAIN), ("services.yml", SERVICES)]),
    piece=words | st.text(characters, max_size=5) | yaml_like,
)
def test_valid_files_with_a_piece_replaced(
    shared: ConfigurationFolder, data: st.DataObject, which: tuple[str, str], piece: str
) -> None:
    shared.main("")
    shared.services(SERVICES)
    name, text = which
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    (shared.directory / name).write_text(text[:start] + piece + text[end:])
    told_of(shared)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(characters, max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@hostile
@given(st.dictionaries(st.sampled_from(["daemon", "listen", "settings", "command", "user"]), plain))
def test_any_row(shared: ConfigurationFolder, row: dict[str, object]) -> None:
    shared.main("")
    shared.services(json.dumps({"profile": "hub", "services": {"smtp": row, "x": row}}))
    told_of(shared)
