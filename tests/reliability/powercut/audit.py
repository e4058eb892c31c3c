"""The books at every point: each recipient has the message, waits for it, or is reported.

The law, for one recipient of a message whose 250 was entered: its queue file is there, readable,
and says that the recipient is still to be served, or that a failure is still to be reported; or a
whole copy is in the mailbox, or was taken by the next host; or a report that names the recipient is
in the sender's mailbox, or in a queue file that still has to be delivered. A file in a mailbox's
new/ is whole at every point, whoever sent it.

Only what an event changed is looked at anew: the rest was looked at when it changed last.
"""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mta.proto.status import Disposition
from reliability.powercut.letters import Letter, Mark, Report
from reliability.powercut.model import Model, Node, World, events
from reliability.powercut.operations import Acknowledge, Recording, Take
from reliability.powercut.shelf import Shelf, Stored
from reliability.powercut.variants import Kept, Picture, cut
from reliability.powercut.walk import Change, Stop

__all__ = ["Audit", "Index", "index"]

_WAITING = ("queue/incoming/", "queue/deferred/")


@dataclass
class Files:
    """All files that one letter ever had."""

    queue: list[Node] = field(default_factory=list)  # its own queue file
    copies: list[Node] = field(default_factory=list)  # in mailboxes
    reports: list[Node] = field(default_factory=list)  # in the queue or in mailboxes


@dataclass(frozen=True)
class Index:
    """Which letter a file is about, and what a folder holds, as the whole recording shows."""

    marks: Mapping[Node, str]
    below: Mapping[str, set[str]]  # by folder: marks
    files: Mapping[str, Files]  # by mark
    queue_ids: Mapping[str, str]  # mark by queue id, acknowledged at some time
    strange: list[str]  # files of which it is not known what they are


def index(recording: Recording, acknowledged: Mapping[str, str], folder: Path) -> Index:
    """Look through all files as they were in the end, also those that were removed."""
    world = World(recording, Model.PORTABLE)
    marks: dict[Node, str] = {}
    below: defaultdict[str, set[str]] = defaultdict(set)
    files: defaultdict[str, Files] = defaultdict(Files)
    strange = []
    for event in events(recording):
        world.step(event)
    shelf = Shelf(folder, world)
    for node, history in world.histories.items():
        if isinstance(node, str):
            continue
        last = [path for path in history.paths if path is not None][-1]
        kept = Kept(last, history.settings[-1], cut(node, len(history.pieces)))
        in_queue = last.startswith("queue/")
        if in_queue:
            stored = shelf.stored(kept)
            what = stored.message if isinstance(stored, Stored) else None
        else:
            what = shelf.copy(kept)
        if what is None:
            strange.append(last)
            continue
        marks[node] = what.mark
        own = files[what.mark]
        (own.reports if isinstance(what, Report) else own.queue if in_queue else own.copies).append(
            node
        )
        for path in history.paths:
            while path and (path := os.path.dirname(path)):
                below[path].add(what.mark)
    shelf.close()
    return Index(marks, below, files, acknowledged, strange)


class Audit:
    """Follows a walk; `faults` tells what was found."""

    def __init__(self, letters: Mapping[str, Letter], index: Index, shelf: Shelf) -> None:
        self._letters = letters
        self._index = index
        self._shelf = shelf
        self._acknowledged: set[str] = set()
        self._taken: set[tuple[str, str]] = set()
        self.looked = 0  # letters, all points and variants together

    def stop(self, stop: Stop) -> Iterator[str]:
        """What is wrong at a point, in any variant."""
        news: set[str] = set()
        match stop.event.operation:
            case Acknowledge(queue_id):
                news = {self._index.queue_ids[queue_id]}
                self._acknowledged |= news
            case Take(queue_id, recipient) if queue_id in self._index.queue_ids:
                self._taken.add((self._index.queue_ids[queue_id], recipient))
        for change in stop.changes:
            for fault in self._change(change, news):
                yield f"{change.picture.variant.name}, {stop.text}: {fault}"

    def _change(self, change: Change, news: set[str]) -> Iterator[str]:
        marks = set(news)
        for node in change.nodes:
            if isinstance(node, str):
                marks |= self._index.below.get(node, set())
            elif mark := self._index.marks.get(node):
                marks.add(mark)
                yield from self._mailbox(change.picture, node)
        for mark in marks & self._acknowledged:
            self.looked += 1
            yield from self.letter(change.picture, mark)

    def _mailbox(self, picture: Picture, node: Node) -> Iterator[str]:
        kept = picture.find(node)
        if kept is not None and _in_mailbox(kept.path) and self._shelf.copy(kept) is None:
            yield f"{kept.path} is not whole"

    def letter(self, picture: Picture, mark: str) -> Iterator[str]:
        """What is wrong with one acknowledged letter."""
        files, letter = self._index.files[mark], self._letters[mark]
        told = self._told(picture, files)
        had = self._had(picture, mark, files) | told
        unsettled = set(letter.recipients)
        for node in files.queue:
            kept = picture.find(node)
            if kept is None:
                continue
            stored = self._shelf.stored(kept)
            if isinstance(stored, str):
                yield f"{mark} was acknowledged, and {kept.path} is no message: {stored}"
            elif not kept.path.startswith(_WAITING):
                yield f"{mark} was acknowledged, and lies in {kept.path}"
            else:
                unsettled = _settled(stored)
        if missing := sorted(unsettled - had):
            yield f"{mark} was acknowledged, and nothing is left of it for {', '.join(missing)}"

    def _had(self, picture: Picture, mark: str, files: Files) -> set[str]:
        """Who has a copy."""
        had = {recipient for taken, recipient in self._taken if taken == mark}
        for node in files.copies:
            kept = picture.find(node)
            if kept is not None and _in_mailbox(kept.path):
                copy = self._shelf.copy(kept)
                if isinstance(copy, Mark):
                    had.add(copy.recipient)
        return had

    def _told(self, picture: Picture, files: Files) -> set[str]:
        """Of whom the sender was told, or will be by a report that is in the queue."""
        told: set[str] = set()
        for node in files.reports:
            kept = picture.find(node)
            if kept is None:
                continue
            if _in_mailbox(kept.path):
                report = self._shelf.copy(kept)
            elif isinstance(stored := self._shelf.stored(kept), Stored) and not _settled(stored):
                report = stored.message
            else:
                continue
            told |= report.recipients if isinstance(report, Report) else frozenset()
        return told


def _settled(stored: Stored) -> set[str]:
    """The recipients with whom a queue file has done: they must have their copy, or be told of."""
    return {
        recipient
        for place, recipient in enumerate(stored.recipients)
        if stored.outcomes.get(place) is Disposition.DELIVERED
        or (stored.outcomes.get(place) is Disposition.BOUNCED and place in stored.reported)
    }


def _in_mailbox(path: str) -> bool:
    return path.startswith("mail/") and os.path.dirname(path).endswith("/new")
