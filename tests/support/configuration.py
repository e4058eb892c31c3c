"""A configuration folder to write, break, and compile."""

import json
from pathlib import Path

import pytest

from mta.config.compile import Configuration, compile_configuration
from mta.config.errors import ConfigError

__all__ = ["SERVICES", "ConfigurationFolder"]

SERVICES = """\
profile: hub
services:
  smtp: {listen: ["inet:127.0.0.1:2525"]}
"""


class ConfigurationFolder:
    """`main.yml` and `services.yml` in one folder, valid until a test writes something else."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "etc"
        self.queue = directory / "queue"
        self.log = directory / "log"
        self.directory.mkdir()
        self.main("")
        self.services(SERVICES)

    def main(self, more: str) -> None:
        """Write main.yml: four lines that it always needs, then `more`."""
        needed = {
            "queue_directory": f"{self.queue}",
            "log_file": f"{self.log}/mail.log",
            "myhostname": "posthouse.test",
            "virtual_mailbox_base": f"{self.directory.parent}/mail",
        }
        lines = [f"{name}: {json.dumps(value)}\n" for name, value in needed.items()]
        (self.directory / "main.yml").write_text("".join(lines) + more)

    def services(self, text: str) -> None:
        """Write services.yml."""
        (self.directory / "services.yml").write_text(text)

    def compile(self) -> Configuration:
        return compile_configuration(str(self.directory))

    def problems(self) -> list[str]:
        """What is wrong; a test fails when nothing is."""
        with pytest.raises(ConfigError) as caught:
            self.compile()
        return [str(problem) for problem in caught.value.problems]
