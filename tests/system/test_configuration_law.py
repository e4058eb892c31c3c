"""What `mta check` passes runs; what it refuses is never put live, by whatever way.

The configurations are hypothesis's: any values that the types admit, rows with settings of their
own, and files with a slip of the keyboard. One system runs through all of them.
"""

import json
import os
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from support.configurations import added_rows, broken, main_files, service_rows
from support.instance import Instance, NewInstance
from support.profile import ENOUGH, ROWS

from mta.commands.main import mta
from mta.config.snapshot import load_snapshot

# A check-in may take long here: several tests run side by side, and all rows start at once.
PATIENT = {"service_checkin_time": 60}
FURTHER = "# further\n"
FILES: Final = ("main.yml", "services.yml")
ROWS_AHEAD: Final = {"min_free": 1}

law = settings(
    max_examples=int(os.environ.get("CONFIGURATIONS", "10")),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@law
@given(st.data())
def test_it_is_put_in_force_or_leaves_no_trace(instance: Instance, data: st.DataObject) -> None:
    candidate = written(instance, data)
    if not data.draw(st.booleans(), "as it is"):
        slip(candidate, data)
    before = trace_of(instance)
    status, said = run(candidate, "check")
    event("passed" if status == 0 else "refused")
    if status == 0:
        reloaded, said = run(candidate, "reload")
        assert reloaded == 0, said
        wait_for_all_rows(instance)
        return
    assert status == os.EX_CONFIG, said
    for command in ("render", "reload"):
        refused, said = run(candidate, command)
        assert refused == os.EX_CONFIG, (command, said)
    assert trace_of(instance) == before


@law
@given(st.data())
def test_the_way_back_is_taken_or_leaves_no_trace(instance: Instance, data: st.DataObject) -> None:
    """Files that a generation keeps may be unsound by now; here they are damaged in place."""
    candidate = written(instance, data)
    if run(candidate, "check")[0] == 0:
        assert run(candidate, "reload")[0] == 0
    listed = json.loads(run(candidate, "config", "list", "--json")[1])
    number = data.draw(st.sampled_from([each["generation"] for each in listed]), "generation")
    texts = kept_texts(instance, number, data)
    status, said = run(texts, "check")
    event("passed" if status == 0 else "refused")
    before, files = trace_of(instance), files_of(candidate)
    rolled, told = run(candidate, "config", "rollback", str(number))
    if status == 0:
        assert rolled == 0, told
        assert files_of(candidate) == files_of(texts)
        wait_for_all_rows(instance)
    else:
        assert rolled == os.EX_CONFIG, (said, told)
        assert (trace_of(instance), files_of(candidate)) == (before, files)


@pytest.mark.parametrize("profile", ROWS)
@settings(law, max_examples=3)
@given(st.data())
def test_it_starts_or_is_refused(
    new_instance: NewInstance, profile: str, data: st.DataObject
) -> None:
    instance = new_instance(profile=profile)
    instance.config = written(instance, data)
    status, said = run(instance.config, "check")
    event("passed" if status == 0 else "refused")
    started = instance.try_mta("start", timeout=90.0)
    if status == 0:
        assert started.returncode == 0, started.stderr
        if instance.processes():
            wait_for_all_rows(instance)
        else:
            assert "there is nothing to start" in started.stdout
    else:
        assert started.returncode == os.EX_CONFIG, (said, started.stderr)
        assert not instance.processes()
        assert not list(instance.queue.glob("config/*"))
    instance.close()


def written(instance: Instance, data: st.DataObject) -> Path:
    """Any configuration for the system's folders and users, whether or not it makes sense."""
    more = {**PATIENT, **data.draw(main_files(), "main.yml")}
    enough = instance.parameters | (yaml.safe_load(ENOUGH[instance.profile]) or {})
    fixed = {name: value for name, value in enough.items() if name not in more}
    names = sorted(ROWS[instance.profile])
    rows: dict[str, dict[str, Any]] = {name: dict(ROWS_AHEAD) for name in names}
    if names:
        for name, row in data.draw(service_rows(tuple(names)), "services").items():
            rows[name].update(row)
        rows["smtp"].update(instance.services["smtp"])
    rows |= data.draw(added_rows(), "added")
    candidate = instance.directory / "candidate"
    candidate.mkdir(exist_ok=True)
    (candidate / "main.yml").write_text(yaml.safe_dump(fixed) + FURTHER + yaml.safe_dump(more))
    table = {"profile": instance.profile, "services": rows}
    (candidate / "services.yml").write_text(yaml.safe_dump(table))
    return candidate


def kept_texts(instance: Instance, number: int, data: st.DataObject) -> Path:
    """The files that a generation keeps, in a folder; maybe with a slip, there and where kept."""
    origin = instance.queue / "config" / f"{number}.origin.json"
    record = json.loads(origin.read_bytes())
    folder = instance.directory / "texts"
    folder.mkdir(exist_ok=True)
    for name in FILES:
        (folder / name).write_text(record["files"][name])
    if not data.draw(st.booleans(), "as it was"):
        slip(folder, data)
        record["files"] = {name: (folder / name).read_text() for name in FILES}
        origin.write_text(json.dumps(record))
    return folder


def files_of(folder: Path) -> list[bytes]:
    """The octets of both files."""
    return [(folder / name).read_bytes() for name in FILES]


def slip(candidate: Path, data: st.DataObject) -> None:
    """Break one of the files; not the paths, for no other folder may be touched."""
    path = candidate / data.draw(st.sampled_from(FILES), "file")
    before, further, text = path.read_text().rpartition(FURTHER)
    path.write_text(before + further + data.draw(broken(text), "with a slip"))


def run(candidate: Path, *arguments: str) -> tuple[int, str]:
    """Run one command in this process: a hundred starts of Python take their time."""
    result = CliRunner().invoke(mta, ["-c", str(candidate), *arguments])
    assert not result.exception or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def wait_for_all_rows(instance: Instance) -> None:
    """Each row that keeps a process ahead has one of this generation, and none has failed."""
    generation = instance.status()["generation"]
    snapshot = load_snapshot(generation, str(instance.queue / "config"))
    ahead = {row.name for row in snapshot.services if row.min_free and row.restart != "never"}

    def settled(status: dict[str, Any]) -> bool:
        services = {row["name"]: row for row in status["services"]}
        failed = {
            name: row["last_exit"] for name, row in services.items() if row["throttled_until"]
        }
        assert not failed, f"{failed}\n{instance.story()}"
        return all(services[name]["running"] for name in ahead)

    instance.wait_status(settled, "a process of each row", timeout=60.0)


def trace_of(instance: Instance) -> tuple[int, dict[str, bytes]]:
    """The generation in force, and everything that a rendering writes."""
    folder = instance.queue / "config"
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    return instance.status()["generation"], files
