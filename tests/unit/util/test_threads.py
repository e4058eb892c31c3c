import threading

import pytest

from mta.util.threads import WorkerPool


def no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)


def test_work_is_done_by_a_thread_and_its_errors_come_back() -> None:
    with WorkerPool(1, "test") as pool:
        assert pool.submit(threading.get_ident).result(10) != threading.get_ident()
        failing = pool.submit(int, "no number")
        with pytest.raises(ValueError, match="no number"):
            failing.result(10)


def test_work_that_was_refused_is_not_done_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a delivery that was deferred would be made all the same, by the next free thread."""
    going = threading.Event()
    done: list[str] = []
    with WorkerPool(2, "test") as pool:
        busy = pool.submit(going.wait, 10)
        with monkeypatch.context() as patch:
            no_more_threads(patch)
            with pytest.raises(RuntimeError):
                pool.submit(done.append, "refused")
        going.set()
        assert busy.result(10)
        pool.submit(done.append, "later").result(10)
    assert done == ["later"]


def test_nothing_begins_after_the_end() -> None:
    pool = WorkerPool(1, "test")
    pool.shutdown()
    with pytest.raises(RuntimeError):
        pool.submit(print)
