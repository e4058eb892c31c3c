"""Ansible puts a configuration in force, or leaves all as it is: real roles, a real system."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.instance import Instance, NewInstance

REPOSITORY = Path(__file__).resolve().parents[2]
PLAY = [{"hosts": "localhost", "gather_facts": False, "roles": ["configuration", "service"]}]


class RollOut:
    """The roles `configuration` and `service`, for the folders of one instance."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.folder = instance.directory / "ansible"
        for name in ("roles", "templates"):
            self.folder.mkdir(exist_ok=True)
            (self.folder / name).symlink_to(REPOSITORY / name)
        (self.folder / "play.yml").write_text(yaml.safe_dump(PLAY))
        command = [sys.executable, "-I", "-m", "mta.commands", "-c", str(instance.config)]
        program = instance.directory / "bin" / "mta"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
        program.chmod(0o755)
        self.variables: dict[str, Any] = {
            "posthouse_bin": str(program.parent),
            "posthouse_etc": str(instance.config),
            "posthouse_profile": "hub",
            "posthouse_parameters": instance.parameters,
            "posthouse_services": instance.services,
        }

    def __call__(
        self,
        parameters: Mapping[str, object] | None = None,
        *options: str,
        succeeds: bool = True,
        **variables: object,
    ) -> str:
        """Run the roles with further parameters; what Ansible printed."""
        merged = {**self.variables["posthouse_parameters"], **(parameters or {})}
        chosen = {**self.variables, "posthouse_parameters": merged, **variables}
        done = subprocess.run(
            [
                *(sys.executable, "-m", "ansible", "playbook", "-i", "localhost,"),
                *("-c", "local", "-e", json.dumps(chosen), *options, "play.yml"),
            ],
            cwd=self.folder,
            env={
                **os.environ,
                "LC_ALL": "C.UTF-8",
                "ANSIBLE_HOME": str(self.folder / "home"),
                "ANSIBLE_LOCAL_TEMP": str(self.folder / "local"),
                "ANSIBLE_REMOTE_TEMP": str(self.folder / "remote"),
                "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
                "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml",
                "ANSIBLE_NOCOLOR": "1",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        print(done.stdout)
        assert (done.returncode == 0) == succeeds, done.stdout
        return done.stdout

    def live(self) -> dict[str, bytes]:
        """What a refused configuration must leave as it is: files, generations and all."""
        places = [*self.instance.config.glob("*.yml"), *(self.instance.queue / "config").iterdir()]
        return {path.name: path.read_bytes() for path in places}


@pytest.fixture
def roll_out(new_instance: NewInstance) -> RollOut:
    return RollOut(new_instance())


def live_text(roll_out: RollOut) -> str:
    return roll_out.live()["main.yml"].decode()


def test_what_is_refused_never_goes_live(roll_out: RollOut) -> None:
    instance = roll_out.instance
    roll_out()
    live, master, generation = (
        roll_out.live(),
        instance.supervisord,
        instance.status()["generation"],
    )

    said = roll_out({"mesage_size_limit": 20_000_000}, succeeds=False)
    assert "mesage_size_limit" in said
    assert "message_size_limit" in said, "it says which names there are"
    assert "Folder of the candidate" not in said, "refused before anything is touched"

    said = roll_out({"default_transport": "outbond"}, succeeds=False)
    assert re.search(r"main\.yml:[0-9]+:20: main\.default_transport: ", said)
    assert 'did you mean "outbound"' in " ".join(said.split())

    assert roll_out.live() == live
    assert instance.supervisord == master
    assert instance.status()["generation"] == generation

    left_out = {"relayhost": None, "smtp_helo_name": "{{ nowhere | default(omit) }}"}
    mended = {"message_size_limit": 20_000_000, **left_out}
    said = roll_out(mended, "--check", "--diff")
    assert "+message_size_limit: 20000000" in said
    assert "changed=1 " in said
    assert roll_out.live() == live, "check mode changes nothing"
    assert "changed=4 " in roll_out(mended), "the file, a generation, what is in force, a reload"
    assert instance.status()["generation"] == generation + 1
    assert "changed=0 " in roll_out(mended)
    assert not any(name in live_text(roll_out) for name in left_out)
