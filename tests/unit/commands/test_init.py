"""`mta init`: a newcomer's first configuration."""

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from support.instance import separated

from mta.commands.main import mta
from mta.config.compile import Configuration, compile_configuration
from mta.config.profile import profiles

NOBODY = 65534
NAMES = ["main.schema.json", "main.yml", "services.schema.json", "services.yml"]


@pytest.fixture(autouse=True)
def anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a host has the users that root's system needs is another question."""
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY)


def init(*arguments: str, status: int = 0) -> Result:
    result = CliRunner().invoke(mta, ["init", *arguments])
    assert result.exit_code == status, result.output
    return result


def written(folder: Path) -> Configuration:
    assert sorted(path.name for path in folder.iterdir()) == NAMES
    return compile_configuration(str(folder))


@pytest.mark.parametrize("profile", profiles())
def test_an_ordinary_user_checks_what_was_written(short_path: Path, profile: str) -> None:
    folder = short_path / "new" / "etc"
    said = init(profile, str(folder)).stdout
    assert said.endswith(f"Then: mta -c {folder} check\n")
    done = subprocess.run(
        [sys.executable, "-I", "-m", "mta.commands", "-c", folder, "check"],
        user=NOBODY if separated() else None,
        group=NOBODY if separated() else None,
        extra_groups=[] if separated() else None,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"valid: profile {profile}, ")


@pytest.mark.parametrize("profile", profiles())
def test_examples_call_themselves_so(tmp_path: Path, profile: str) -> None:
    """What nobody said is example.com, and the comment above it says that."""
    init(profile, str(tmp_path / "etc"))
    lines = (tmp_path / "etc" / "main.yml").read_text().splitlines()
    for number, line in enumerate(lines):
        if "example.com" in line and not line.startswith(("#", "virtual_alias_maps")):
            assert "An example: put your own in its place." in lines[number - 1]
    assert max(map(len, lines)) <= 100


def test_what_was_said_is_in_force(tmp_path: Path) -> None:
    options = ("--hostname", "MX.site.test", "--relayhost", "[out.site.test]:587")
    domains = ("--domain", "site.test", "--domain", "Other.test", "--domain", "site.test")
    init("hub", str(tmp_path / "hub"), *options, *domains)
    init("relay", str(tmp_path / "relay"), *options, *domains)
    init("null_client", str(tmp_path / "null"), *options)
    hub, relay, null = (written(tmp_path / name).parameters for name in ("hub", "relay", "null"))
    assert hub.virtual_mailbox_domains == relay.relay_domains == ("site.test", "other.test")
    assert relay.virtual_alias_maps == ("inline:{postmaster@mx.site.test=postmaster@site.test}",)
    for parameters in (hub, relay, null):
        assert parameters.myhostname == "mx.site.test"
        assert parameters.relayhost == "[out.site.test]:587"
    for name in ("hub", "null"):
        assert "An example" not in (tmp_path / name / "main.yml").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_written_over(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("an operator's\n")
    refused = init("hub", str(tmp_path), status=os.EX_CANTCREAT)
    assert refused.stderr == (
        f"mta: {tmp_path}/{name} is there already: nothing is written over it\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "an operator's\n"


def test_a_dangling_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "services.yml").symlink_to(tmp_path / "elsewhere")
    init("hub", str(tmp_path / "etc"), status=os.EX_CANTCREAT)
    assert not (tmp_path / "elsewhere").exists()
    assert not (tmp_path / "etc" / "main.yml").exists()


def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        init("hub", str(tmp_path / "etc"))
    finally:
        os.umask(before)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "etc").iterdir()]
    assert modes == [0o644] * len(NAMES)
    assert stat.S_IMODE((tmp_path / "etc").stat().st_mode) == 0o755


def test_a_file_in_the_folders_place(tmp_path: Path) -> None:
    (tmp_path / "etc").write_text("")
    init("hub", str(tmp_path / "etc"), status=os.EX_USAGE)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    refused = init("hub", str(tmp_path / "link"), status=os.EX_CANTCREAT)
    assert refused.stderr == f"mta: {tmp_path}/link: it is no directory\n"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("firewall", "."), "'firewall' is not one of"),
        (("hub",), "Missing argument 'DIR'"),
        (("hub", ".", "--hostname", "my_host"), "'my_host' is not a domain name in lower case"),
        (("hub", ".", "--domain", ""), "'' is not a domain name in lower case"),
        (("hub", ".", "--relayhost", "unix:/x"), "'unix:/x' is not DOMAIN, [HOST] or [HOST]:PORT"),
        (("hub", ".", "--relayhost", "[a.test"), "'[a.test' is not DOMAIN, [HOST] or [HOST]:PORT"),
        (("null_client", ".", "--domain", "a.test"), "takes no --domain: no mail comes in"),
        (("maildrop_client", ".", "--relayhost", "a.test"), "no --relayhost: it sends nothing"),
    ],
)
def test_mistakes_write_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert text in init(*arguments, status=os.EX_USAGE).stderr
    assert list(tmp_path.iterdir()) == []


@given(
    profile=st.sampled_from(["hub", "relay"]),
    hostname=st.text(max_size=12) | st.from_regex(r"[A-Za-z0-9.-]{1,12}", fullmatch=True),
    domain=st.text(max_size=12) | st.from_regex(r"[A-Za-z0-9.:'-]{1,12}", fullmatch=True),
    relayhost=st.text(max_size=12)
    | st.from_regex(r"\[[a-z.0-9:]{0,9}\](:[0-9]*)?", fullmatch=True),
)
def test_whatever_is_said_makes_a_valid_configuration_or_a_mistake(
    profile: str, hostname: str, domain: str, relayhost: str
) -> None:
    options = [f"--hostname={hostname}", f"--domain={domain}", f"--relayhost={relayhost}"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "etc")
        result = CliRunner().invoke(mta, ["init", profile, str(folder), *options])
        if result.exit_code == 0:
            assert written(folder).profile == profile
        else:
            assert result.exit_code == os.EX_USAGE, result.output
            assert not folder.exists()
