"""strace as an instrument: see the order of a daemon's system calls, kill it at one, make some fail."""

import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

__all__ = ["Call", "Fault", "Kill", "Trace"]

_LINE: Final = re.compile(r"(\d+) +(\d+\.\d+) (.*)")
_RESUMED: Final = re.compile(r"<\.\.\. \w+ resumed>(.*)")
# A thread that dies beside others may have its last call shown as unfinished.
_STRUCK: Final = re.compile(r"^\d+ +[\d.]+ (\w+\(.*)(?: += \?|<unfinished \.\.\.>)$", re.MULTILINE)
_LASTED: Final = re.compile(r"<(\d+\.\d+)>$")


@dataclass(frozen=True)
class Call:
    """One system call as strace shows it; times are seconds since the epoch."""

    began: float
    ended: float
    text: str


@dataclass(frozen=True)
class Kill:
    """SIGKILL at the entry of the `nth` of `calls` that a daemon makes once it is watched.

    The call itself is not carried out: a kill at `rename` leaves the old name. strace counts the
    calls of each thread by itself.
    """

    calls: str  # strace's names, comma-separated
    nth: int = 1

    @property
    def rule(self) -> str:
        """The kill as strace's option `inject` has it."""
        return f"{self.calls}:signal=KILL:when={self.nth}"


@dataclass(frozen=True)
class Fault:
    """Some of `calls` fail with an error, or return a value, without being carried out."""

    calls: str  # strace's names, comma-separated
    outcome: str  # "error=EIO", "retval=0"
    when: str = "1"  # "1" the first of them, "1+" all, "3+2" every second one from the third

    @property
    def rule(self) -> str:
        """The fault as strace's option `inject` has it."""
        return f"{self.calls}:{self.outcome}:when={self.when}"


class Trace:
    """strace, attached to a running process and all its threads."""

    def __init__(
        self, pid: int, output: Path, calls: str, injection: Kill | Fault | None = None
    ) -> None:
        """`output` is a new file; `calls` are strace's names, comma-separated."""
        self.output = output
        inject = [] if injection is None else ["-e", f"inject={injection.rule}"]
        watched = calls if injection is None else f"{calls},{injection.calls}"
        style = ["-f", "-qq", "-y", "-s", "512", "-ttt", "-T"]
        self._process = subprocess.Popen(
            ["strace", *style, "-p", str(pid), "-o", output, "-e", f"trace={watched}", *inject],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            self._await_attached(pid)
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def _await_attached(self, pid: int) -> None:
        deadline = time.monotonic() + 10
        threads = Path(f"/proc/{pid}/task")
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                assert self._process.stderr is not None
                raise AssertionError(f"strace: {self._process.stderr.read()}")
            traced = [
                "TracerPid:\t0\n" not in (thread / "status").read_text()
                for thread in threads.iterdir()
            ]
            if all(traced):
                return
            time.sleep(0.005)
        raise AssertionError(f"strace did not attach to {pid}")

    def calls(self) -> list[Call]:
        """The calls so far, in the order in which they ended."""
        found: list[Call] = []
        unfinished: dict[str, tuple[float, str]] = {}
        for line in self.output.read_text(errors="replace").splitlines():
            if not (parts := _LINE.match(line)):
                continue
            thread, moment, text = parts[1], float(parts[2]), parts[3]
            if text.endswith("<unfinished ...>"):
                unfinished[thread] = (moment, text.removesuffix("<unfinished ...>"))
                continue
            began, ended = moment, moment
            if resumed := _RESUMED.match(text):
                began, head = unfinished.pop(thread, (moment, ""))
                text = head + resumed[1]
            if lasted := _LASTED.search(text):
                ended = began + float(lasted[1])
            found.append(Call(began, ended, text))
        return found

    def find(self, pattern: str) -> Call:
        """The first call that matches; AssertionError when there is none."""
        calls = self.calls()
        for call in calls:
            if re.search(pattern, call.text):
                return call
        raise AssertionError(f"no call {pattern!r} in\n" + "\n".join(call.text for call in calls))

    def struck(self) -> str:
        """The call at whose entry the process was killed, as strace shows it; empty before."""
        text = self.output.read_text(errors="replace")
        if "+++ killed by SIGKILL +++" not in text:
            return ""
        calls: list[str] = _STRUCK.findall(text)
        return calls[-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait(timeout=10)
        if self._process.stderr is not None:
            self._process.stderr.close()
