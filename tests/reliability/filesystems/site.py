"""A system whose queue and mailboxes lie on the file system under proof; all else lies outside."""

import os
import random
import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from support.instance import Instance, Settings, separated
from support.processes import kill
from support.waiting import wait_until

from reliability.filesystems.filesystems import FileSystem
from reliability.filesystems.load import Letter, NextHop, letters

__all__ = ["Site", "new_site"]

_PARAMETERS: Final = {
    "minimal_backoff_time": "1s",
    "maximal_backoff_time": "2s",
    "queue_run_delay": "2s",
}


@dataclass(frozen=True)
class Site:
    """One file system, the system on it, its next host, and the mail that it gets."""

    kind: FileSystem
    disk: Path  # where the file system is mounted, before each cut and after it
    house: Instance
    next_hop: NextHop
    letters: Mapping[str, Letter]  # by mark

    def prepare_disk(self) -> None:
        """Make the folder of the mailboxes, durably, as whoever sets up a host does."""
        self.house.mail.mkdir(mode=0o700)
        if separated():
            shutil.chown(self.house.mail, "vmail", "vmail")
        for folder in (self.house.mail, self.disk):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            os.fsync(descriptor)
            os.close(descriptor)

    def kill_all(self) -> None:
        """End all processes at once, the master first: nobody may start another."""

        def look() -> bool:
            running = self.house.processes()
            for process in sorted(running, key=lambda each: each.service):
                kill(process)
            return not running

        wait_until(look, "the end of all processes")


@contextmanager
def new_site(
    folder: Path,
    kind: FileSystem,
    count: int,
    chance: random.Random,
    services: Settings | None = None,
) -> Iterator[Site]:
    """A site in a new folder, with that many letters; `services` changes rows of its table."""
    with closing(NextHop()) as next_hop:
        house = Instance(folder)
        disk = folder / "disk"
        house.queue, house.mail = disk / "queue", disk / "mail"
        places = {
            "queue_directory": str(house.queue),
            "virtual_mailbox_base": str(house.mail),
            "relayhost": f"[127.0.0.1]:{next_hop.peer.port}",
        }
        house.configure({**places, **_PARAMETERS}, services)
        by_mark = {letter.mark: letter for letter in letters(count, chance)}
        yield Site(kind, disk, house, next_hop, by_mark)
