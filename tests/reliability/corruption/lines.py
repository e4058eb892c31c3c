"""The log as it grows: what it says of each file."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

__all__ = ["Lines"]


class Lines:
    """The records of a log by what they name: a queue id, or the path of a foreign file."""

    def __init__(self, path: Path) -> None:
        self.of: dict[str, Counter[str]] = {}  # how many of each event
        self.corrupt: dict[str, dict[str, Any]] = {}  # the last such record of a queue id
        self.errors: Counter[str] = Counter()  # events of that level
        self.dropped = 0  # lines that a full pipe took from us
        self._path = path
        self._offset = 0
        self._rest = b""

    def read(self) -> None:
        """Take in what is new."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._note(json.loads(line))

    def count(self, name: str) -> int:
        """How many records name it."""
        return self.of.get(name, Counter()).total()

    def _note(self, record: dict[str, Any]) -> None:
        event = record["event"]
        self.dropped += record.get("dropped", 0)
        if record["level"] == "error":
            self.errors[event] += 1
        if event == "corrupt":
            self.corrupt[record["queue_id"]] = record
        name = record["path"] if event == "foreign_file" else record.get("queue_id")
        if name:
            self.of.setdefault(name, Counter())[event] += 1
