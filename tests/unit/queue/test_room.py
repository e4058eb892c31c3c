"""What is said of a file system's room, and how often it is asked."""

import os
from pathlib import Path

import pytest

from mta.queue.room import Room, RoomWatch, least_free, look


class Found:
    """What statvfs finds."""

    def __init__(self, *, flags: int = 0, files: int = 1000, left: int = 10) -> None:
        self.f_flag, self.f_files, self.f_favail = flags, files, left
        self.f_bavail, self.f_frsize = 1000, 4096


@pytest.mark.parametrize(
    ("found", "room"),
    [
        (Found(), Room(4_096_000)),
        (Found(files=0, left=0), Room(4_096_000)),  # btrfs has no such number
        (Found(left=0), Room(0, "no free inodes")),
        (Found(flags=os.ST_RDONLY), Room(0, "read-only", read_only=True)),
    ],
)
def test_a_look(found: Found, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: found)
    assert look() == room


def test_it_is_what_the_system_says(tmp_path: Path) -> None:
    found = os.statvfs(tmp_path)
    assert look(str(tmp_path)).octets == pytest.approx(found.f_bavail * found.f_frsize, rel=0.1)


def test_one_look_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []

    def statvfs(place: object) -> Found:
        looks.append(place)
        if len(looks) == 2:
            raise OSError(5, "Input/output error")
        return Found()

    times = iter((0.0, 0.9, 1.0, 1.9, 2.0))
    watch = RoomWatch(lambda: next(times))
    monkeypatch.setattr(os, "statvfs", statvfs)
    rooms = [watch.room() for _ in range(5)]
    silent = Room(0, "[Errno 5] Input/output error")
    assert rooms == [Room(4_096_000)] * 2 + [silent] * 2 + [Room(4_096_000)]
    assert looks == [".", ".", "."]


def test_postfix_rule() -> None:
    assert least_free(0, 1000) == 1500
    assert least_free(10, 1000) == 10
