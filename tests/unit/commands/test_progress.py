"""How far a long command is: shown to people at a terminal, and to nobody else."""

import io
import sys

import pytest

from mta.commands import progress
from mta.commands.progress import Counted


class Terminal(io.StringIO):
    def __init__(self, *, is_one: bool) -> None:
        super().__init__()
        self._is_one = is_one

    def isatty(self) -> bool:
        return self._is_one


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_count_for_people_alone(monkeypatch: pytest.MonkeyPatch, is_terminal: bool) -> None:
    monkeypatch.setattr(progress, "_PAUSE", 0.0)
    monkeypatch.setattr(sys, "stderr", Terminal(is_one=is_terminal))
    with Counted("deleted") as counting:
        assert list(counting.count("abc")) == ["a", "b", "c"]
    assert isinstance(sys.stderr, Terminal)
    shown = sys.stderr.getvalue()
    assert ("2 deleted ..." in shown) == is_terminal
    assert bool(shown) == is_terminal
    assert shown.endswith("\r\x1b[K") == is_terminal


def test_what_is_done_at_once_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal(is_one=True))
    monkeypatch.setattr(progress, "_PAUSE", 3600.0)
    with Counted("deleted") as counting:
        assert list(counting.count("ab")) == ["a", "b"]
    assert isinstance(sys.stderr, Terminal)
    assert sys.stderr.getvalue() == ""
