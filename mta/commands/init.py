"""`mta init PROFILE DIR`: a first configuration, small, commented and valid.

Beside the two files lie their schemas, which an editor completes and checks them by.

Nothing is written over: a file appears whole, under a name that was free, or not at all. What the
options do not say is an example that calls itself one.
"""

import contextlib
import json
import os
from dataclasses import dataclass
from typing import Any, Final

import click
import msgspec

from mta.commands.config.schema import schema_file
from mta.commands.failure import Failure
from mta.config.places import MAIN
from mta.config.profile import profiles
from mta.config.render import template_environment
from mta.config.table import SERVICES
from mta.config.types import Domain, NextHop
from mta.config.validate import expectation
from mta.proto.nexthop import UnixDestination, parse_nexthop

__all__ = ["init"]

_TEMPLATES: Final = "etc/posthouse/init"
_MODE: Final = 0o644  # daemons' users pass; there are no secrets in these files
_FOLDER_MODE: Final = 0o755
_LOOPBACK: Final = ("inet:127.0.0.1:25", "inet:[::1]:25")
_EVERYWHERE: Final = ("inet:0.0.0.0:25", "inet:[::]:25")


@dataclass(frozen=True)
class _Answers:
    """What the newcomer said."""

    hostname: str | None
    domains: tuple[str, ...]
    relayhost: str | None


class _DomainName(click.ParamType[str]):
    name = "domain"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """The domain in lower case; a usage error if it is none."""
        try:
            return msgspec.convert(str(value).lower(), Domain)
        except msgspec.ValidationError:
            self.fail(f"{value!r} is not {expectation(Domain)}", param, ctx)


class _Host(click.ParamType[str]):
    name = "nexthop"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """The destination as it was given; a usage error if mail cannot be sent there."""
        problem = f"{value!r} is not {expectation(NextHop)}"
        try:
            text = msgspec.convert(value, NextHop)
            destination = parse_nexthop(text)
        except (msgspec.ValidationError, ValueError):
            self.fail(problem, param, ctx)
        if isinstance(destination, UnixDestination):
            self.fail(problem, param, ctx)
        return text


@click.command()
@click.argument("profile", type=click.Choice(profiles()))
@click.argument("directory", type=click.Path(file_okay=False), metavar="DIR")
@click.option("--hostname", type=_DomainName(), help="This host's name in mail.")
@click.option(
    "--domain",
    "domains",
    type=_DomainName(),
    multiple=True,
    help="A domain whose mail is delivered here (hub), or taken for the hub (relay); repeatable.",
)
@click.option(
    "--relayhost",
    type=_Host(),
    help="Where mail for other domains goes: DOMAIN, [HOST] or [HOST]:PORT.",
)
def init(
    profile: str,
    directory: str,
    hostname: str | None,
    domains: tuple[str, ...],
    relayhost: str | None,
) -> None:
    """Write a first main.yml and services.yml for PROFILE into DIR, and their schemas for editors.

    Nothing is written over: exit status 73 when one of the files is there already.
    """
    if domains and profile not in ("hub", "relay"):
        raise click.UsageError(f"the profile {profile} takes no --domain: no mail comes in")
    if relayhost and profile == "maildrop_client":
        raise click.UsageError(f"the profile {profile} takes no --relayhost: it sends nothing")
    texts = _texts(profile, _Answers(hostname, tuple(dict.fromkeys(domains)), relayhost))
    directory = os.path.abspath(directory)
    _make_folder(directory)
    _write_all(directory, texts)
    click.echo(f"{MAIN} and {SERVICES} are in {directory}: read them, and put in what is yours.")
    click.echo(f"Then: mta -c {directory} check")


def _texts(profile: str, given: _Answers) -> dict[str, str]:
    """The files by name."""
    relayhost = given.relayhost or ("[mail.example.com]" if profile == "null_client" else "")
    values: dict[str, Any] = {
        "profile": profile,
        "given": given,
        "hostname": given.hostname or f"{profile.replace('_', '-')}.example.com",
        "domains": given.domains or ("example.com",),
        "relayhost": relayhost,
        "listen": _LOOPBACK if profile == "null_client" else _EVERYWHERE,
    }
    environment = template_environment()
    environment.filters["json"] = json.dumps
    texts = {
        name: environment.get_template(f"{_TEMPLATES}/{name}.j2").render(values)
        for name in (MAIN, SERVICES)
    }
    return texts | dict(map(schema_file, ("main", "services")))


def _make_folder(directory: str) -> None:
    try:
        os.makedirs(os.path.dirname(directory), exist_ok=True)
        os.mkdir(directory)
    except FileExistsError:
        if not os.path.isdir(directory):
            raise Failure(f"{directory}: it is no directory", os.EX_CANTCREAT) from None
    else:
        os.chmod(directory, _FOLDER_MODE)


def _write_all(directory: str, texts: dict[str, str]) -> None:
    """Write all files or none, each of them whole and under a name that was free."""
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, folder)
        undo = stack.enter_context(contextlib.ExitStack())
        for name, text in texts.items():
            temporary = f".{name}.{os.getpid()}"
            stack.callback(os.unlink, temporary, dir_fd=folder)
            _write(folder, temporary, text.encode())
        for name in texts:
            temporary = f".{name}.{os.getpid()}"
            try:
                os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            except FileExistsError:
                path = os.path.join(directory, name)
                text = f"{path} is there already: nothing is written over it"
                raise Failure(text, os.EX_CANTCREAT) from None
            undo.callback(os.unlink, name, dir_fd=folder)
        os.fsync(folder)
        undo.pop_all()


def _write(folder: int, name: str, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    with open(os.open(name, flags, _MODE, dir_fd=folder), "wb") as file:
        os.fchmod(file.fileno(), _MODE)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
