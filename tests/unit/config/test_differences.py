"""The comparison of two generations: complete, and empty only when nothing differs."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from support.configuration import ConfigurationFolder

from mta.config.differences import Change, Differences, RowChange, compare, summary
from mta.config.parameters import Parameters
from mta.config.snapshot import Service, Snapshot
from mta.config.values import shown_key, shown_parameter

_settings = st.fixed_dictionaries(
    {},
    optional={
        "smtpd_timeout": st.sampled_from([60.0, 300.0]),
        "soft_bounce": st.booleans(),
        "mynetworks": st.lists(st.sampled_from(["10.0.0.0/8", "::1/128"]), max_size=2),
    },
)
_rows = st.builds(
    Service,
    name=st.sampled_from(["smtp", "submission", "qmgr"]),
    daemon=st.sampled_from(["smtpd", "qmgr"]),
    listen=st.lists(st.sampled_from(["inet:127.0.0.1:25", "ipc:private/x"]), max_size=2).map(tuple),
    numprocs=st.integers(1, 2),
    max_idle=st.sampled_from([0.0, 100.0]),
    settings=_settings,
)
_NEEDED = {"queue_directory": "/q", "log_file": "/l", "myhostname": "posthouse.test"}
_parameters = _settings.map(lambda chosen: msgspec.convert(_NEEDED | chosen, Parameters))
_snapshots = st.builds(
    Snapshot,
    version=st.just(1),
    generation=st.integers(1, 9),
    created=st.floats(0, 2e9),
    profile=st.sampled_from(["hub", "relay"]),
    python=st.sampled_from(["/a/python", "/b/python"]),
    parameters=_parameters,
    services=st.lists(_rows, max_size=3, unique_by=lambda row: row.name).map(tuple),
)


def _content(snapshot: Snapshot) -> dict[str, Any]:
    """What counts: not the number, the age, or the order of rows."""
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(snapshot))
    rows = {row["name"]: row for row in plain["services"]}
    kept = {name: plain[name] for name in ("profile", "python", "parameters")}
    return {**kept, "services": rows}


def _applied(content: dict[str, Any], found: Differences) -> dict[str, Any]:
    changed = dict(content)
    if found.profile is not None:
        changed["profile"] = found.profile.new
    if found.interpreter is not None:
        changed["python"] = found.interpreter.new
    changed["parameters"] = content["parameters"] | {c.name: c.new for c in found.parameters}
    stopped = {row.name for row in found.stopped}
    rows = {name: dict(row) for name, row in content["services"].items() if name not in stopped}
    for row in found.started:
        rows[row.name] = msgspec.json.decode(msgspec.json.encode(row))
    for change in found.changed:
        row_now = rows[change.name]
        row_now["settings"] = dict(row_now["settings"])
        for key in change.keys:
            first, _, setting = key.name.partition(".")
            where, name = (row_now["settings"], setting) if setting else (row_now, first)
            where.pop(name, None)
            if key.new is not UNSET:
                where[name] = key.new
    changed["services"] = rows
    return changed


@given(_snapshots, _snapshots)
def test_applied_to_the_old_the_differences_give_the_new(old: Snapshot, new: Snapshot) -> None:
    assert _applied(_content(old), compare(old, new)) == _content(new)


@given(_snapshots, _snapshots)
def test_there_are_none_exactly_when_both_are_equal(old: Snapshot, new: Snapshot) -> None:
    found = compare(old, new)
    assert bool(found) == (_content(old) != _content(new))
    assert bool(summary(found)) == bool(found)


@given(_snapshots)
def test_what_comes_off_the_disk_is_the_same(snapshot: Snapshot) -> None:
    """Lists where there were tuples change nothing."""
    loaded = msgspec.json.decode(msgspec.json.encode(snapshot), type=Snapshot)
    assert not compare(snapshot, loaded)
    assert not compare(loaded, snapshot)


def test_each_kind_of_change(folder: ConfigurationFolder) -> None:
    old = folder.compile().snapshot(1, 0.0)
    folder.main("hopcount_limit: 9\n")
    folder.services(
        """\
profile: hub
services:
  smtp: {listen: ["inet:127.0.0.1:2526"], settings: {smtpd_timeout: 1m}}
  virtual: {enabled: false}
  submission: {daemon: smtpd, user: mtanet, listen: ["inet:127.0.0.1:2587"]}
"""
    )
    found = compare(old, folder.compile().snapshot(2, 0.0))
    assert found.profile is None
    assert found.interpreter is None
    assert found.parameters == (Change("hopcount_limit", 50, 9),)
    assert [row.name for row in found.started] == ["submission"]
    assert [row.name for row in found.stopped] == ["virtual"]
    keys = (
        Change("listen", ["inet:127.0.0.1:2525"], ["inet:127.0.0.1:2526"]),
        Change("settings.smtpd_timeout", UNSET, 60.0),
    )
    assert found.changed == (RowChange("smtp", keys),)
    assert summary(found, ("main.yml",))[-1] == "parameters changed: hopcount_limit"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("max_idle", 100.0, "100s"),
        ("numprocs", 4, "4"),
        ("listen", ["inet:127.0.0.1:25"], '["inet:127.0.0.1:25"]'),
        ("settings.smtpd_timeout", 300.0, "5m"),
        ("settings.smtpd_timeout", UNSET, "unset"),
        ("settings.soft_bounce", True, "true"),
        ("settings.smtpd_banner", "\x9b31m\u202e", r'"\x9b31m\u202e"'),
    ],
)
def test_values_are_shown_as_they_are_written(name: str, value: object, text: str) -> None:
    assert shown_key(name, value) == text


def test_a_parameter_that_is_no_duration_is_a_number() -> None:
    assert shown_parameter("hopcount_limit", 300) == "300"
