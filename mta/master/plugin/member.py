"""One process of a row, as the pool sees it."""

import enum
from dataclasses import dataclass

__all__ = ["Member", "Phase"]


class Phase(enum.Enum):
    """Where a process is in its life; all but RETIRING accept, or soon will."""

    STARTING = "starting"
    FREE = "free"
    FULL = "full"
    RETIRING = "retiring"


@dataclass
class Member:
    """A live process; times are those of the pool's clock."""

    name: str
    spawned_at: float
    phase: Phase = Phase.STARTING
    ready_at: float | None = None  # when the first `free` came
    clients: int = 0
    served: int = 0
    ordered: bool = False  # the master or an operator asked it to end
    expiring: bool = False
    retiring_since: float = 0.0
    killed: str = ""  # why the master killed it

    @property
    def accepting(self) -> bool:
        """Whether it counts towards numprocs."""
        return self.phase is not Phase.RETIRING

    def has_proved_itself(self, now: float, lifetime: float) -> bool:
        """Whether it did what it is for: it served, or stayed ready for `lifetime` seconds."""
        return self.ready_at is not None and (self.served > 0 or now - self.ready_at >= lifetime)
