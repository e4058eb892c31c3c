"""A clock for one system under test: set at run time, by years if need be, for any user.

clock = FalseClock(folder)
instance = new_instance(python=clock.python)
instance.start()
clock.jump(3600.0)

The system runs in an interpreter of its own, a virtual environment whose first import puts the wall
clock off (support.false_time). Monotonic clocks stay true, as they do on a real machine.
"""

import shutil
import signal
import sysconfig
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import mta
from support import false_time
from support.instance import Instance
from support.processes import kill

__all__ = ["DAY", "HOUR", "YEAR", "FalseClock"]

HOUR: Final = 3600.0
DAY: Final = 86400.0
YEAR: Final = 365 * DAY


class FalseClock:
    """One false clock, with the interpreter that believes it; both live in `directory`."""

    def __init__(self, directory: Path) -> None:
        venv.EnvBuilder(symlinks=True).create(directory)
        self.python = directory / "bin" / "python"
        (libraries,) = directory.glob("lib/python*/site-packages")
        shutil.copy(false_time.__file__, libraries)
        self._file = libraries / Path(false_time.FILE).name
        self._offset = 0.0
        self._asleep = 0.0
        self._write()
        tree = Path(mta.__file__).parents[1]
        lines = ["import false_time", sysconfig.get_path("purelib"), str(tree)]
        (libraries / "posthouse.pth").write_text("\n".join(lines) + "\n")

    @property
    def now(self) -> float:
        """What the system takes for the time, in seconds since the epoch."""
        return time.time() + self._offset

    @property
    def offset(self) -> float:
        """How far the clock is ahead of the truth, in seconds."""
        return self._offset

    def set(self, now: float) -> None:
        """Set the clock to a time; to whole seconds."""
        self._offset = float(round(now - time.time()))
        self._write()

    def jump(self, seconds: float) -> None:
        """Set the clock forwards or back."""
        self.set(self.now + seconds)

    @contextmanager
    def sleeping(self, instance: Instance, seconds: float) -> Iterator[None]:
        """The machine of a system sleeps for so long: within, all its processes stand still."""
        sleepers = instance.processes()
        for process in sleepers:
            kill(process, signal.SIGSTOP)
        try:
            self._asleep += seconds
            self.jump(seconds)
            yield
        finally:
            for process in sleepers:
                kill(process, signal.SIGCONT)

    def _write(self) -> None:
        # In place, for it is mapped; a mapped number of eight octets is read whole.
        with self._file.open("r+b" if self._file.exists() else "wb", buffering=0) as file:
            file.write(false_time.FORM.pack(self._offset, self._asleep))
