"""Whose connections the daemons' own sockets take."""

import os
import pwd
from pathlib import Path

import pytest

from mta.config.parameters import Parameters
from mta.config.snapshot import Service, Snapshot
from mta.master.users import house_users

USERS = ("daemon", "bin", "nobody")  # of any Debian: the queue's, the network's, the mailboxes'


def _uid(name: str) -> int:
    return pwd.getpwnam(name).pw_uid


def _snapshot(*rows: Service) -> Snapshot:
    return Snapshot(
        version=1,
        generation=1,
        created=0.0,
        profile="hub",
        python="/usr/bin/python3",
        parameters=Parameters(queue_directory="/queue", log_file="/log", mail_owner=USERS[0]),
        services=rows,
    )


def _house() -> Snapshot:
    names = zip(("cleanup", "smtpd", "virtual"), USERS, strict=True)
    return _snapshot(*(Service(name=name, daemon=name, user=user) for name, user in names))


@pytest.fixture
def roots_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Live in a queue directory of root's, as a user."""
    monkeypatch.chdir("/")
    monkeypatch.setattr(os, "geteuid", lambda: 4711)


@pytest.mark.parametrize("user", ["", *USERS])
def test_one_user_who_runs_all_admits_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: str
) -> None:
    """Whatever the table says, and even if that user is in it."""
    monkeypatch.chdir(tmp_path)
    if os.geteuid() == 0:
        os.chown(tmp_path, 4711, -1)
        monkeypatch.setattr(os, "geteuid", lambda: 4711)
    snapshot = _snapshot(Service(name="row", daemon="virtual", user=user))
    assert house_users(snapshot, snapshot.services[0]) == {0, os.geteuid()}


@pytest.mark.usefixtures("roots_queue")
def test_services_admit_the_users_of_all_rows() -> None:
    snapshot = _house()
    assert house_users(snapshot, snapshot.service("cleanup")) == {0, *map(_uid, USERS)}


@pytest.mark.usefixtures("roots_queue")
def test_a_delivery_agent_admits_the_queue_alone() -> None:
    """Not even its own user: mail comes from the queue manager, or it is forged."""
    snapshot = _house()
    assert house_users(snapshot, snapshot.service("virtual")) == {0, _uid(USERS[0])}


@pytest.mark.parametrize("uid", [0, 4711])
def test_who_becomes_users_admits_the_queue_alone(
    monkeypatch: pytest.MonkeyPatch, uid: int
) -> None:
    """Though it is root, it is not one who runs all."""
    monkeypatch.chdir("/")
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    names = zip(("cleanup", "smtpd", "virtual"), USERS, strict=True)
    rows = [Service(name=name, daemon=name, user=user) for name, user in names]
    mailuser = Service(name="mailuser", daemon="mailuser", user="root", privileged=True)
    assert house_users(_snapshot(*rows, mailuser), mailuser) == {0, _uid(USERS[0])}


@pytest.mark.usefixtures("roots_queue")
def test_a_user_that_the_host_lacks_admits_nobody() -> None:
    rows = (
        Service(name="cleanup", daemon="cleanup", user=USERS[0]),
        Service(name="x", daemon="x", user="no-such-user"),
    )
    assert house_users(_snapshot(*rows), rows[0]) == {0, _uid(USERS[0])}
