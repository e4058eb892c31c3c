"""strace as an instrument: the order of a daemon's calls, a kill at one of them, faults at some."""

import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

__all__ = ["Call", "Fault", "Kill", "Trace", "read_calls"]

_LINE: Final = re.compile(r"(?:(\d+) +)?(\d+\.\d+) (.*)")  # no thread where none is followed
_RESUMED: Final = re.compile(r"<\.\.\. \w+ resumed>(.*)")
# A thread that dies beside others may have its last call shown as unfinished.
_STRUCK: Final = re.compile(r"^\d+ +[\d.]+ (\w+\(.*)(?: += \?|<unfinished \.\.\.>)$", re.MULTILINE)
_DIED: Final = re.compile(r"^\d+ +([\d.]+) \+\+\+ killed by SIGKILL \+\+\+$", re.MULTILINE)
_DETACH_TIME: Final = 3.0  # seconds
_LASTED: Final = re.compile(r"<(\d+\.\d+)>$")


@dataclass(frozen=True)
class Call:
    """One system call as strace shows it; times are seconds since the epoch."""

    began: float
    ended: float
    text: str


def read_calls(output: Path) -> list[Call]:
    """The calls in what strace has written so far, in the order in which they ended."""
    found: list[Call] = []
    unfinished: dict[str, tuple[float, str]] = {}
    for line in output.read_text(errors="replace").splitlines():
        if not (parts := _LINE.match(line)):
            continue
        thread, moment, text = parts[1] or "", float(parts[2]), parts[3]
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
        self,
        pid: int,
        output: Path,
        calls: str,
        injection: Kill | Fault | None = None,
        *,
        follow: bool = True,
    ) -> None:
        """`output` is a new file; `calls` are strace's names, comma-separated.

        Without `follow` the process has to be of one thread, and its children are left alone.
        """
        self.output = output
        inject = [] if injection is None else ["-e", f"inject={injection.rule}"]
        watched = calls if injection is None else f"{calls},{injection.calls}"
        style = [*(["-f"] if follow else []), "-qq", "-y", "-s", "512", "-ttt", "-T"]
        self._process = subprocess.Popen(
            ["strace", *style, "-p", str(pid), "-o", output, "-e", f"trace={watched}", *inject],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            self._await_attached(pid)
        except BaseException:
            self._end()
            raise

    def _await_attached(self, pid: int) -> None:
        deadline = time.monotonic() + 10
        threads = Path(f"/proc/{pid}/task")
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                if self.struck():  # already
                    return
                assert self._process.stderr is not None
                raise AssertionError(f"strace: {self._process.stderr.read()}")
            try:
                traced = [
                    "TracerPid:\t0\n" not in (thread / "status").read_text()
                    for thread in threads.iterdir()
                ]
            except (FileNotFoundError, ProcessLookupError):
                time.sleep(0.005)  # a thread has ended, or the process: then strace ends as well
                continue
            if all(traced):
                return
            time.sleep(0.005)
        raise AssertionError(f"strace did not attach to {pid}")

    def calls(self) -> list[Call]:
        """The calls so far, in the order in which they ended."""
        return read_calls(self.output)

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
        assert calls, f"killed, and at no call:\n{text[-2000:]}"
        return calls[-1]

    def died(self) -> float:
        """When the process was killed, in seconds since the epoch; to be asked after `struck`."""
        found = _DIED.findall(self.output.read_text(errors="replace"))
        return float(found[-1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def _end(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(timeout=_DETACH_TIME)
        except subprocess.TimeoutExpired:
            # It waits for ever for a thread that ended while it let go of it.
            self._process.kill()
            self._process.wait(timeout=_DETACH_TIME)
        if self._process.stderr is not None:
            self._process.stderr.close()
