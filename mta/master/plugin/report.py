"""The master's own lines: in supervisord's log, and as records of the mail log."""

import json
import os
import time
from typing import Final

from supervisor.loggers import LevelsByName

from mta.master.plugin.actions import Fields, Level, Say
from mta.master.plugin.seam import Logger

__all__ = ["Report"]

# Characters, at most 12 octets each as JSON: a record stays below PIPE_BUF, so it is atomic.
_TEXT_LIMIT: Final = 300
_LEVELS: Final = {
    "info": LevelsByName.INFO,
    "warning": LevelsByName.WARN,
    "error": LevelsByName.ERRO,
}


class Report:
    """Says each line twice; neither saying ever waits or raises."""

    def __init__(self, logger: Logger, generation: int) -> None:
        self._logger = logger
        self.generation = generation
        self.writer = -1  # the log pipe's writing end, once there is one

    def say(self, level: Level, event: str, text: str, **fields: str | float) -> None:
        """Write one line."""
        self._logger.log(_LEVELS[level], text)
        if self.writer >= 0:
            self._record(level, event, text, fields)

    def note(self, text: str) -> None:
        """Write a line for the reader of supervisord's log alone."""
        self._logger.log(LevelsByName.INFO, text)

    def pass_on(self, said: Say) -> None:
        """Write a line that a pool decided on."""
        self.say(said.level, said.event, said.text, **said.fields)

    def _record(self, level: Level, event: str, text: str, fields: Fields) -> None:
        head = {
            "time": round(time.time(), 6),
            "level": level,
            "service": "master",
            "process": "supervisord",
            "pid": os.getpid(),
            "generation": self.generation,
            "event": event,
            **fields,
            "text": text[:_TEXT_LIMIT],
        }
        line = json.dumps(head, separators=(",", ":")).encode() + b"\n"
        try:
            os.write(self.writer, line)
        except OSError as error:
            self.note(f"the mail log misses a record of the master: {error.strerror}")
