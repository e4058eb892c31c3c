"""What lies in `config/` is gossip: a damaged file is an error that names it, and nothing else."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.configuration import ConfigurationFolder

from mta.config.errors import SnapshotError
from mta.config.generations import GenerationFolder
from mta.config.provenance import load_provenance
from mta.config.snapshot import load_snapshot
from mta.config.write import write_generation


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one generation, to be damaged as each example likes."""
    folder = ConfigurationFolder(tmp_path_factory.mktemp("damaged"))
    (folder.queue / "config").mkdir(parents=True)
    with GenerationFolder(str(folder.queue)).locked() as locked:
        write_generation(locked, folder.compile(), 0.0)
    return folder.queue / "config"


_NAMES = st.sampled_from(["2.json", "2.origin.json"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


def _load(config: Path, name: str, data: bytes) -> None:
    """Load what these octets make of a generation: it is one, or there is the one error."""
    (config / name).write_bytes(data)
    load = load_provenance if "origin" in name else load_snapshot
    told = f"{config / name}: "
    try:
        load(2, str(config))
    except SnapshotError as error:
        told = str(error)
    assert told.startswith(f"{config / name}: ")


def _sound(config: Path, name: str) -> bytes:
    data = (config / name.replace("2", "1", 1)).read_bytes()
    return data.replace(b'"generation":1', b'"generation":2')


@given(_NAMES, st.binary(max_size=200))
def test_any_octets(config: Path, name: str, data: bytes) -> None:
    _load(config, name, data)


@given(_NAMES, st.data())
def test_octets_changed_in_a_sound_one(config: Path, name: str, data: st.DataObject) -> None:
    sound = bytearray(_sound(config, name))
    for _ in range(data.draw(st.integers(1, 4))):
        sound[data.draw(st.integers(0, len(sound) - 1))] = data.draw(st.integers(0, 255))
    _load(config, name, bytes(sound[: data.draw(st.integers(0, len(sound)))]))
    _load(config, name, bytes(sound))


@given(_NAMES, st.data(), _JSON)
def test_values_of_another_kind(
    config: Path, name: str, data: st.DataObject, value: object
) -> None:
    sound = json.loads(_sound(config, name))
    within = [each for each in sound.values() if isinstance(each, dict)]
    where = data.draw(st.sampled_from([sound, *within]))
    where[data.draw(st.sampled_from(sorted(where)))] = value
    with contextlib.suppress(ValueError):  # JSON has no such number
        _load(config, name, json.dumps(sound, allow_nan=False).encode())


@pytest.mark.parametrize("name", ["2.json", "2.origin.json"])
@pytest.mark.parametrize(
    "opening", [b"[", b'{"a":', b'{"files":', b'{"services":[{"settings":{"a":[']
)
def test_nesting(config: Path, name: str, opening: bytes) -> None:
    _load(config, name, opening + b"[" * 100_000)
    _load(config, name, opening + b'{"a":' * 100_000)


@pytest.mark.parametrize("name", ["2.json", "2.origin.json"])
def test_a_sound_one_is_no_error(config: Path, name: str) -> None:
    (config / name).write_bytes(_sound(config, name))
    load = load_provenance if "origin" in name else load_snapshot
    load(2, str(config))
