"""`mta probe`: one real message through the whole system, followed to its mailbox."""

import email.message
import email.policy
import email.utils
import ipaddress
import json
import os
import re
import smtplib
import time
from collections.abc import Iterator
from typing import Any, Final, Self

import click

from mta.commands.control import Control
from mta.commands.failure import Failure
from mta.commands.output import as_text
from mta.commands.privilege import become_queue_owner
from mta.config.snapshot import SNAPSHOT_DIRECTORY, Snapshot, load_snapshot
from mta.util.listen import InetAddress, parse_listen

__all__ = ["probe"]

_PATIENCE: Final = 30.0  # seconds until the outcome is in the log
_LOOK: Final = 0.05  # seconds
_QUEUED: Final = re.compile(rb"queued as ([0-9A-Za-z]+)")
_STATUS: Final = {"sent": os.EX_OK, "deferred": os.EX_TEMPFAIL}


@click.command()
@click.argument("address", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the log's record of the delivery.")
@click.pass_context
def probe(context: click.Context, address: str | None, as_json: bool) -> None:
    """Send a message to ADDRESS over SMTP and show where it landed.

    Without ADDRESS it goes to the user "probe" of the first virtual mailbox domain.
    """
    queue_directory = context.obj.queue_directory
    generation = Control(queue_directory).status().generation
    snapshot = load_snapshot(generation, os.path.join(queue_directory, SNAPSHOT_DIRECTORY))
    recipient = address or _default_recipient(snapshot)
    listener = _smtp_listener(snapshot)
    become_queue_owner(queue_directory)  # root does not read what daemons wrote
    with _LogEnd(snapshot.parameters.log_file) as log:
        queue_id = _send(listener, recipient, snapshot.parameters.myhostname)
        record = _outcome(log, queue_id)
    if as_json:
        click.echo(as_text(record))
    else:
        click.echo(f"{queue_id} to {recipient}: {record['status']} ({record['text']})")
    context.exit(_STATUS.get(str(record["status"]), os.EX_UNAVAILABLE))


def _default_recipient(snapshot: Snapshot) -> str:
    domains = snapshot.parameters.virtual_mailbox_domains
    if not domains:
        raise Failure("virtual_mailbox_domains is empty: name an address", os.EX_USAGE)
    return f"probe@{domains[0]}"


def _smtp_listener(snapshot: Snapshot) -> InetAddress:
    """The first address that takes SMTP; an unspecified one is reached by loopback."""
    for row in snapshot.services:
        for address in map(parse_listen, row.listen):
            if row.daemon == "smtpd" and isinstance(address, InetAddress):
                if not ipaddress.ip_address(address.host).is_unspecified:
                    return address
                host = "::1" if ":" in address.host else "127.0.0.1"
                return InetAddress(host, address.port)
    raise Failure("no service takes SMTP: no smtpd row has an inet listener", os.EX_UNAVAILABLE)


def _send(listener: InetAddress, recipient: str, hostname: str) -> str:
    """Send the message with the null sender, so that no bounce can follow; its queue id."""
    message = email.message.EmailMessage()
    message["From"] = f"postmaster@{hostname}"
    message["To"] = recipient
    message["Subject"] = "Probe"
    message["Date"] = email.utils.localtime()
    message.set_content("This message shows that mail flows. It can be deleted.\n")
    try:
        with smtplib.SMTP(listener.host, listener.port, hostname, _PATIENCE) as client:
            client.ehlo_or_helo_if_needed()
            for code, answer in (client.mail(""), client.rcpt(recipient)):
                _expect(code, answer)
            code, answer = client.data(message.as_bytes(policy=email.policy.SMTP))
            _expect(code, answer)
    except (OSError, smtplib.SMTPException) as error:
        raise Failure(f"{listener}: {error}", os.EX_UNAVAILABLE) from error
    match = _QUEUED.search(answer)
    if match is None:
        raise Failure(f"no queue id in the answer: {_text(answer)}", os.EX_UNAVAILABLE)
    return match[1].decode("ascii")


def _expect(code: int, answer: bytes) -> None:
    if code >= 400:
        status = os.EX_TEMPFAIL if code < 500 else os.EX_UNAVAILABLE
        raise Failure(f"refused: {code} {_text(answer)}", status)


def _text(answer: bytes) -> str:
    return answer.decode("utf-8", "replace").replace("\n", " ")


def _outcome(log: "_LogEnd", queue_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        for record in log.records():
            if record.get("event") == "delivery" and record.get("queue_id") == queue_id:
                return record
        time.sleep(_LOOK)
    text = f"{queue_id} is queued, but the log tells no outcome within {_PATIENCE:g} s"
    raise Failure(f"{text}: see `mta queue show {queue_id}`", os.EX_TEMPFAIL)


class _LogEnd:
    """What is written to the mail log from now on."""

    def __init__(self, path: str) -> None:
        try:
            self._file = open(path, "rb")  # noqa: SIM115 - closed by __exit__
        except FileNotFoundError:
            raise Failure(
                f"{path} does not exist: is the log service running?", os.EX_UNAVAILABLE
            ) from None
        self._file.seek(0, os.SEEK_END)
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def records(self) -> Iterator[dict[str, Any]]:
        """The records that were added since the last call."""
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        for line in lines:
            try:
                record = json.loads(line)
            except ValueError:  # garbage of somebody else cannot be our record
                continue
            if isinstance(record, dict):
                yield record
