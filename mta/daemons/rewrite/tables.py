"""The tables of all parameters that name some, and the number that changes with any of them.

A reply bears the epoch that was in force before its tables were asked: one that changes meanwhile
makes the next reply bear another, and what clients remember is dropped. Without tables it is 0:
nothing changes but by a reload, which replaces the clients as well.
"""

import time
from collections.abc import Mapping
from typing import Final

from mta.config.parameters import Parameters
from mta.ipc.maps import Finder, Maps, ServedMaps, identity_of, open_maps

__all__ = ["PARAMETERS", "Tables", "open_tables"]

PARAMETERS: Final = (
    *("canonical_maps", "sender_canonical_maps", "recipient_canonical_maps"),
    *("virtual_alias_maps", "smtp_generic_maps", "sender_bcc_maps", "recipient_bcc_maps"),
    *("transport_maps", "sender_dependent_relayhost_maps", "relocated_maps"),
    *("local_recipient_maps", "virtual_mailbox_maps", "relay_recipient_maps"),
)

_UNSEEN_FOR: Final = 5.0  # seconds that answers of a table are believed whose changes are not seen


class Tables:
    """Tables by the name of their parameter; a parameter without any has no entry."""

    def __init__(self, maps: Mapping[str, Maps], generation: int) -> None:
        self._maps = dict(maps)
        self._generation = generation

    def get(self, parameter: str) -> Maps | None:
        """The tables of a parameter, if it names any."""
        return self._maps.get(parameter)

    @property
    def may_block(self) -> bool:
        """Whether an answer may have to be waited for."""
        return any(isinstance(maps, ServedMaps) for maps in self._maps.values())

    def epoch(self) -> int:
        """The epoch in force; the files are looked at."""
        if not self._maps:
            return 0
        # All processes of the daemon must count alike, so the clock is the wall's.
        slot = int(time.time() / _UNSEEN_FOR)
        identities = (maps.identity() for maps in self._maps.values())
        seen = (slot if number is None else number for number in identities)
        return identity_of((self._generation, *seen))


def open_tables(parameters: Parameters, generation: int, finder: Finder) -> Tables:
    """The tables that a configuration names; those that may block are the finder's."""
    maps: dict[str, Maps] = {}
    for parameter in PARAMETERS:
        found = open_maps(parameter, getattr(parameters, parameter), finder)
        if found is not None:
            maps[parameter] = found
    return Tables(maps, generation)
