"""A whole system that delivers to users of this host, whose homes lie in one folder.

with local_mail({"mailbox_size_limit": 1000}) as mail:
    mail.aliases("info: /dev/null\n")
    mail.send("info")
    mail.outcomes("info")        ["sent 2.0.0 delivered to file: /dev/null"]

Run by root, the users are made for the test; run by anybody else, he is the one user.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.folders import reachable_folder
from support.instance import Instance, Settings
from support.people import Person, people
from support.waiting import wait_until

__all__ = ["HERE", "SENDER", "LocalMail", "local_mail"]

HERE = "local.test"
SENDER = "alice@example.org"
_MESSAGE = b"Subject: hello\r\n\r\nFrom me\r\n"


class LocalMail:
    """The system, which is `house`; its users, and the folder with their homes and `spool`."""

    def __init__(self, house: Instance, folder: Path, persons: list[Person]) -> None:
        self.house = house
        self.folder = folder
        self.persons = persons
        self.spool = folder / "spool"
        self._before = 0  # records of the log when the last message was sent

    def aliases(self, text: str) -> None:
        """Put other aliases in place, as an editor does."""
        (self.folder / "aliases.new").write_text(text)
        os.replace(self.folder / "aliases.new", self.folder / "aliases")

    def send(self, recipient: str) -> None:
        """Send a message to a recipient here; what is told of others before is history."""
        self._before = len(self.house.log_records())
        with self.house.smtp() as client:
            client.greeted().mail(SENDER, [f"{recipient}@{HERE}"], _MESSAGE)

    def log(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """The records of an event with these values since the last message was sent."""
        records = self.house.log_records()[self._before :]
        return [it for it in records if event == it["event"] and fields.items() <= it.items()]

    def outcomes(self, recipient: str, count: int = 1) -> list[str]:
        """What is told of that message's recipient, once that many deliveries have ended."""

        def look() -> list[str]:
            records = self.log("delivery", to=f"{recipient}@{HERE}", relay="local")
            told = [f"{it['status']} {it['dsn']} {it['text']}" for it in records]
            return told if len(told) >= count else []

        return wait_until(look, f"{count} outcomes of {recipient}", 30.0)

    def tidy(self) -> None:
        """Remove all mail, and what lies in homes."""
        for place in (self.spool, *(person.home for person in self.persons)):
            for path in place.iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()


@contextlib.contextmanager
def local_mail(parameters: Settings | None = None, count: int = 2) -> Iterator[LocalMail]:
    """The system, running, with so many users where root runs the test."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(reachable_folder())
        persons = stack.enter_context(people(folder, count))
        (folder / "spool").mkdir()
        (folder / "spool").chmod(0o1777)
        (folder / "aliases").write_text("nobody-else: /dev/null\n")
        basis = {
            "mydestination": [HERE],
            "myorigin": HERE,
            "recipient_delimiter": "+",
            "alias_maps": [f"aliases:{folder}/aliases"],
            "mail_spool_directory": f"{folder}/spool",
            "forward_path": [f"{folder}/$user/.forward+$extension", f"{folder}/$user/.forward"],
            "default_privs": persons[-1].name,
            "default_transport": "discard",
        }
        house = Instance(folder / "house", {**basis, **(parameters or {})})
        stack.callback(house.close)
        house.start()
        yield LocalMail(house, folder, persons)
