"""The master believes no snapshot: each damage is named, with the file."""

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.master.plugin.lock import MasterLockedError, take_master_lock
from mta.master.plugin.table import Table, TableError, load_table
from mta.util.listen import PipeAddress

ROW: dict[str, Any] = {
    "name": "log",
    "daemon": "log",
    "listen": ["pipe:log"],
    "user": "",
    "numprocs": 1,
    "min_free": 0,
    "restart": "always",
    "wakeup": 0,
    "max_idle": 100.0,
}
BODY: dict[str, Any] = {
    "generation": 7,
    "parameters": {"queue_directory": "/var/spool/posthouse", "service_checkin_time": 3},
    "services": [ROW],
}


def load(directory: Path, body: object) -> Table:
    (directory / "7.json").write_text(json.dumps(body))
    return load_table(7, str(directory))


def test_what_the_master_needs_is_read_and_the_rest_ignored(tmp_path: Path) -> None:
    table = load(tmp_path, BODY)
    assert table.rows["log"].listen == (PipeAddress("log"),)
    assert (table.checkin_time, table.throttle_time) == (3.0, 60.0)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"generation": 8}, "holds generation 8"),
        ({"generation": "7"}, "generation"),
        ({"services": [{**ROW, "numprocs": 0}]}, "numprocs"),
        ({"services": [{**ROW, "restart": "often"}]}, "restart"),
        ({"services": [{**ROW, "listen": ["inet:localhost:25"]}]}, "localhost"),
        ({"services": [{**ROW, "listen": ["unix:../x"]}]}, "public/NAME"),
        ({"services": [ROW, {**ROW, "name": "b"}]}, "b and log both listen on pipe:log"),
        ({"services": None}, "7.json"),
        ({"parameters": {}}, "queue_directory"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path: Path, change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(TableError, match=r"7\.json") as failure:
        load(tmp_path, {**BODY, **change})
    assert complaint in str(failure.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
keys = st.sampled_from([*BODY, *ROW])


@given(key=keys, value=json_values)
def test_no_content_of_a_field_escapes_as_another_error(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: object
) -> None:
    row = {**ROW, key: value} if key in ROW else ROW
    body = {**BODY, "services": [row], **({key: value} if key in BODY else {})}
    with contextlib.suppress(TableError):
        load(tmp_path_factory.mktemp("config"), body)


def test_a_missing_table_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="run `mta render`"):
        load_table(1, str(tmp_path))


def _fork_holder(path: str) -> Callable[[], None]:
    """A process that holds the lock until the returned function is called."""
    reader, writer = os.pipe()
    gate, opener = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(opener)
        take_master_lock(path)
        os.write(writer, b"x")
        os.read(gate, 1)
        os._exit(0)
    os.read(reader, 1)

    def release() -> None:
        for descriptor in (reader, writer, gate, opener):
            os.close(descriptor)
        os.waitpid(child, 0)

    return release


def test_a_second_master_names_the_first_and_gives_up(tmp_path: Path) -> None:
    path = str(tmp_path / "master.lock")
    release = _fork_holder(path)
    holder = (tmp_path / "master.lock").read_text().strip()
    with pytest.raises(MasterLockedError, match=f"locked by process {holder}"):
        take_master_lock(path, patience=0.2)
    release()
    descriptor = take_master_lock(path, patience=0)
    assert (tmp_path / "master.lock").read_text() == f"{os.getpid()}\n"
    os.close(descriptor)
