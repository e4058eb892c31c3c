"""The follower of the mail log loses no record, whatever rotates."""

import json
from pathlib import Path

from reliability.house import LogFollower


def line(number: int) -> str:
    return json.dumps({"event": "tick", "number": number}) + "\n"


def test_nothing_is_lost_when_the_log_is_rotated(tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    heard: list[int] = []
    follower = LogFollower(log)
    follower.tell(lambda record: heard.append(record["number"]))
    follower.follow()
    with log.open("a") as old:
        old.write(line(1) + line(2)[:5])
        old.flush()
        follower.follow()
        log.rename(tmp_path / "mail.log-1")
        old.write(line(2)[5:])
        old.flush()
        follower.follow()
        log.write_text(line(4))
        follower.follow()
        old.write(line(3))  # the daemon has not noticed yet
        old.flush()
        follower.follow()
    assert sorted(heard) == [1, 2, 3, 4]
    assert heard.index(2) < heard.index(4)
    follower.close()
