"""Where a message goes is what the configuration that was rendered last says; quickly found."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.dropped import make_place

from mta.submission.errors import SubmissionError
from mta.submission.place import find_place


@pytest.mark.parametrize(
    "line",
    [
        "queue_directory: {}",
        "queue_directory: '{}'",
        'queue_directory:   "{}"   # the queue',
        "# queue_directory: /elsewhere\nqueue_directory: {}",
        "queue_directory:\n  {}",
        "{{queue_directory: {}}}",
        "queue_directory: &queue {}",
    ],
)
def test_the_queue_directory_is_what_main_yml_says(tmp_path: Path, line: str) -> None:
    queue = make_place(tmp_path)
    (tmp_path / "etc" / "main.yml").write_text(line.format(queue) + "\n")
    place = find_place(str(tmp_path / "etc"))
    assert (place.queue_directory, place.terms.myhostname) == (str(queue), "posthouse.test")
    assert place.maildrop == str(queue / "maildrop")


def test_a_file_in_the_folder_does_as_well(tmp_path: Path) -> None:
    queue = make_place(tmp_path)
    assert find_place(str(tmp_path / "etc" / "main.yml")).queue_directory == str(queue)


def test_the_environment_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = make_place(tmp_path)
    monkeypatch.setenv("MTA_CONFIG", str(tmp_path / "etc"))
    assert find_place("").queue_directory == str(queue)


def test_the_newest_generation_counts(tmp_path: Path) -> None:
    queue = make_place(tmp_path)
    newer = (queue / "config" / "1.json").read_text().replace("posthouse.test", "new.test")
    (queue / "config" / "10.json").write_text(newer)
    (queue / "config" / "9.origin.json").write_text("{}")
    assert find_place(str(tmp_path / "etc")).terms.myhostname == "new.test"


def damage_nothing_there(queue: Path) -> None:
    (queue / "config" / "1.json").unlink()


def damage_half(queue: Path) -> None:
    path = queue / "config" / "1.json"
    path.write_bytes(path.read_bytes()[:100])


def damage_folder(queue: Path) -> None:
    os.rename(queue / "config", queue / "elsewhere")


@pytest.mark.parametrize("damage", [damage_nothing_there, damage_half, damage_folder])
def test_without_a_configuration_there_is_no_mail(tmp_path: Path, damage: object) -> None:
    assert callable(damage)
    damage(make_place(tmp_path))
    with pytest.raises(SubmissionError) as caught:
        find_place(str(tmp_path / "etc"))
    assert caught.value.status == os.EX_CONFIG


def test_a_start_imports_little(tmp_path: Path) -> None:
    """A program of every login and every cron job: what takes long to import is not there."""
    queue = make_place(tmp_path)
    code = """
import sys
from mta.submission.main import main
status = main(["sendmail", "-C", sys.argv[1], "-t", "bob@x.test"])
heavy = {"asyncio", "click", "idna", "jinja2", "logging", "ssl", "subprocess", "uvloop", "yaml"}
print(status, sorted(heavy & {*sys.modules}), "mta.config.parameters" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, str(tmp_path / "etc")],
        input="To: carol@x.test\n\nhello\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("0 [] False\n", "")
    assert len(os.listdir(queue / "maildrop")) == 1
