"""One system whose power can be cut: its own supervisord, started and killed without ceremony.

`mta start` costs half a second of Python to find out what is known here; so the configuration is
rendered once, and the master is run as `mta start` runs it.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from support.instance import Instance, Settings
from support.processes import kill
from support.smtp_peer import Action, Script, SmtpPeer
from support.waiting import wait_until

from mta.config.generations import SUPERVISORD_CONF

__all__ = ["TREES", "Machine"]

# What a message's files are in, below the machine's folder.
TREES: Final = ("queue/incoming", "queue/deferred", "queue/hold", "queue/corrupt", "mail")
_PATIENCE: Final = 120.0  # seconds, on a machine that does much else


class Machine:
    """A system in a folder, and its next host."""

    def __init__(
        self, folder: Path, refusals: Mapping[str, Action], rows: Settings | None = None
    ) -> None:
        """The next host answers RCPT as `refusals` say by address, and 250 else.

        `rows` are settings of the service table.
        """
        self.folder = folder
        folder.mkdir(parents=True)
        folder.chmod(0o711)
        self._master: subprocess.Popen[bytes] | None = None
        with ExitStack() as stack:
            self.peer = stack.enter_context(SmtpPeer(Script(rcpt=refusals)))
            self.instance = Instance(
                folder,
                {
                    "relayhost": f"[127.0.0.1]:{self.peer.port}",
                    "minimal_backoff_time": "1s",
                    "maximal_backoff_time": "1s",
                    "queue_run_delay": "2s",
                },
                rows,
            )
            self.instance.mta("render")
            stack.pop_all()  # from here on `close` does it

    @property
    def trees(self) -> list[Path]:
        """The folders of which a power cut may leave less than there was."""
        return [self.folder / name for name in TREES]

    def power_on(self, under: Sequence[str] = ()) -> None:
        """Start the system, as the child of the command `under`."""
        assert self._master is None
        queue = self.instance.queue
        command = [sys.executable, "-I", "-m", "supervisor.supervisord"]
        with (self.folder / "supervisord.out").open("ab") as output:
            self._master = subprocess.Popen(
                [*under, *command, "-c", str(queue / SUPERVISORD_CONF)],
                cwd=queue,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """Wait until a client gets the banner of an SMTP server."""

        def look() -> bool:
            assert self._master is not None
            assert self._master.poll() is None, f"the master ended\n{self.instance.story()}"
            try:
                with self.instance.smtp() as client:
                    client.expect(220)
            except OSError:
                return False
            return True

        wait_until(look, "the SMTP server", _PATIENCE)

    def power_off(self) -> None:
        """Kill every process at once, and wait until none is left."""
        if self._master is None:
            return
        while processes := self.instance.processes():
            for process in processes:
                kill(process)
            os.sched_yield()
        self._master.wait()
        self._master = None

    def close(self) -> None:
        """The end of the system and of its next host."""
        self.power_off()
        self.peer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
