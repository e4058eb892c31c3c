"""Debian's smtp-sink: takes all mail and counts it; and a listener that takes connections only."""

import os
import re
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from support.waiting import wait_until

__all__ = ["SilentListener", "SmtpSink"]

_COUNT = re.compile(rb"mesg=(\d+)")
_TAIL = 400  # octets; a line of counters is much shorter


class SmtpSink:
    """smtp-sink at one address; `messages` is how many it has taken."""

    def __init__(self, output: Path, host: str, port: int) -> None:
        self._output = output
        self._file = output.open("wb")
        stepping_down = ["-u", "nobody"] if os.geteuid() == 0 else []  # which only root can
        self._process = subprocess.Popen(
            ["smtp-sink", *stepping_down, "-c", f"inet:{host}:{port}", "1024"],
            stdin=subprocess.DEVNULL,
            stdout=self._file,
            stderr=subprocess.STDOUT,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )
        wait_until(lambda: self._listens(host, port), "smtp-sink")

    @property
    def messages(self) -> int:
        found = _COUNT.findall(self._output.read_bytes()[-_TAIL:])
        return int(found[-1]) if found else 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait(timeout=10)
        self._file.close()

    def _listens(self, host: str, port: int) -> bool:
        assert self._process.poll() is None, self._output.read_text()
        with socket.socket() as probe:
            return probe.connect_ex((host, port)) == 0


class SilentListener:
    """Completes every connection and never says a word."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_server((host, port), backlog=4096)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()
