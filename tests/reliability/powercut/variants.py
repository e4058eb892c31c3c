"""States that the model allows at one event: a choice for every file and folder.

least     what is guaranteed, and nothing else
all       everything that was issued
adverse   what takes away was kept, what gives was lost: removals and what the queue files' journals
          say are there, and no other name, mode or write that need not be
hollow    every name and mode that was issued, and no write that need not be there
ordered   names and modes as of a while ago, as a journal keeps them; of younger writes some
torn      chance, for every history and every block by itself

A choice depends on a file's own history alone: so it stays while that stays, and a step through the
recording changes little.
"""

import random
from bisect import bisect_right
from collections.abc import Iterable
from typing import Final, NamedTuple, Protocol

from reliability.powercut.contents import after, some, torn
from reliability.powercut.model import History, Node, World
from reliability.powercut.operations import Write

__all__ = ["Contents", "Kept", "Picture", "Variant", "cut", "variants"]

_LAGS: Final = (2, 12, 60)  # operations
_TEARS: Final = 4


class Contents(NamedTuple):
    """Which octets a file has: equal ones are equal."""

    node: Node
    style: str  # cut, some, torn
    seed: str
    durable: int  # writes
    issued: int

    def octets(self, writes: list[Write]) -> bytes:
        """The octets, from the file's writes."""
        source = random.Random(repr(self))
        match self.style:
            case "some":
                return some(writes[: self.issued], self.durable, source)
            case "torn":
                return torn(writes[: self.issued], self.durable, source)
            case _:
                return after(writes[: self.issued])


class Kept(NamedTuple):
    """What is left of a file or folder whose name is there."""

    path: str
    mode: int
    contents: Contents | None  # None: a folder


class Variant(Protocol):
    """A way to choose; `names` and `modes` say how many of a history's entries are there."""

    @property
    def name(self) -> str: ...

    @property
    def lag(self) -> int:
        """How many operations ago the choice may have been another although nothing happened."""
        ...

    def names(self, node: Node, history: History, newest: int) -> int: ...

    def modes(self, node: Node, history: History, newest: int) -> int: ...

    def contents(self, node: Node, history: History) -> Contents: ...


def variants(seed: int) -> list[Variant]:
    """All of them; the first six are one of each kind."""
    ordered = [_Ordered(f"{seed}", lag) for lag in _LAGS]
    tears = [_Torn(f"{seed}/{number}") for number in range(_TEARS)]
    return [_Least(), _All(), _Adverse(), _Hollow(), ordered[0], tears[0], *ordered[1:], *tears[1:]]


class Picture:
    """One state, kept up to date through the recording."""

    def __init__(self, world: World, variant: Variant) -> None:
        self.variant = variant
        self.kept: dict[Node, Kept] = {}
        self.digest = 0  # of the tree: equal trees have equal ones
        self._world = world
        self._folders = world.folders

    def update(self, nodes: Iterable[Node], newest: int) -> list[Node]:
        """Choose anew for these; those of them for which that made a difference."""
        changed = []
        for node in nodes:
            old, new = self.kept.get(node), self._choose(node, newest)
            if old == new:
                continue
            changed.append(node)
            if old is not None:
                self.digest ^= hash((node, old))
            if new is None:
                del self.kept[node]
            else:
                self.digest ^= hash((node, new))
                self.kept[node] = new
        return changed

    def find(self, node: Node) -> Kept | None:
        """What is left of a node, if there is a way to it."""
        kept = self.kept.get(node)
        if kept is None:
            return None
        path = kept.path
        while (path := path.rpartition("/")[0]) and path not in self._folders:
            if path not in self.kept:
                return None
        return kept

    def _choose(self, node: Node, newest: int) -> Kept | None:
        history = self._world.histories[node]
        names = self.variant.names(node, history, newest)
        path = history.paths[names - 1] if names else None
        if path is None:
            return None
        # A name never leads to a file without the mode that it was made with.
        mode = history.settings[max(1, self.variant.modes(node, history, newest)) - 1]
        if isinstance(node, str):
            return Kept(path, mode, None)
        contents = self.variant.contents(node, history)
        if contents.style != "cut" and contents.durable == contents.issued:
            contents = cut(node, contents.issued)
        return Kept(path, mode, contents)


def cut(node: Node, writes: int) -> Contents:
    """The first so many writes, whole."""
    return Contents(node, "cut", "", writes, writes)


class _Least:
    name = "least"
    lag = 0

    def names(self, node: Node, history: History, newest: int) -> int:
        del node, newest
        return history.names.durable

    def modes(self, node: Node, history: History, newest: int) -> int:
        del node, newest
        return history.modes.durable

    def contents(self, node: Node, history: History) -> Contents:
        return cut(node, history.writes.durable)


class _All:
    name = "all"
    lag = 0

    def names(self, node: Node, history: History, newest: int) -> int:
        del node, newest
        return len(history.paths)

    def modes(self, node: Node, history: History, newest: int) -> int:
        del node, newest
        return len(history.settings)

    def contents(self, node: Node, history: History) -> Contents:
        return cut(node, len(history.pieces))


class _Adverse(_Least):
    name = "adverse"

    def names(self, node: Node, history: History, newest: int) -> int:
        if history.paths[-1] is None:
            return len(history.paths)
        return super().names(node, history, newest)

    def contents(self, node: Node, history: History) -> Contents:
        born = history.paths[0]
        if born is not None and born.startswith("queue/"):
            return cut(node, len(history.pieces))
        return super().contents(node, history)


class _Hollow(_All):
    name = "hollow"

    def contents(self, node: Node, history: History) -> Contents:
        return cut(node, history.writes.durable)


class _Ordered:
    name = "ordered"

    def __init__(self, seed: str, lag: int) -> None:
        self.lag = lag
        self._seed = f"{seed}/{lag}"

    def names(self, node: Node, history: History, newest: int) -> int:
        del node
        return max(history.names.durable, bisect_right(history.names.issued, newest - self.lag))

    def modes(self, node: Node, history: History, newest: int) -> int:
        del node
        return max(history.modes.durable, bisect_right(history.modes.issued, newest - self.lag))

    def contents(self, node: Node, history: History) -> Contents:
        return Contents(node, "some", self._seed, history.writes.durable, len(history.pieces))


class _Torn:
    name = "torn"
    lag = 0

    def __init__(self, seed: str) -> None:
        self._seed = seed

    def names(self, node: Node, history: History, newest: int) -> int:
        del newest
        return self._between("names", node, history.names.durable, len(history.paths))

    def modes(self, node: Node, history: History, newest: int) -> int:
        del newest
        return self._between("modes", node, history.modes.durable, len(history.settings))

    def contents(self, node: Node, history: History) -> Contents:
        return Contents(node, "torn", self._seed, history.writes.durable, len(history.pieces))

    def _between(self, what: str, node: Node, durable: int, issued: int) -> int:
        if durable == issued:
            return issued
        source = random.Random(f"{self._seed}/{what}/{node}/{durable}/{issued}")
        return source.randint(durable, issued)
