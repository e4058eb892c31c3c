"""Which messages are meant: the criteria of `mta queue`, as a pure function over entries.

The law: criteria are ANDed, and one that is not given asks nothing. Addresses, domains and reasons
are compared without regard to case. Recipients are those that are not finished. Of a damaged file
no sender and no recipient is known, so that it meets no criterion that asks for one.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from mta.queue.entry import Entry, domain_of
from mta.queue.layout import State

__all__ = ["Criteria", "matches"]


@dataclass(frozen=True)
class Criteria:
    """What a message must be."""

    sender: str | None = None  # an address, "@" and a domain, or empty for the null sender
    recipient: str | None = None  # an address
    domain: str | None = None  # of a recipient
    older_than: float | None = None  # seconds since its arrival, at least
    newer_than: float | None = None  # seconds since its arrival, fewer
    reason: str | None = None  # a part of why it waits: its last deferral, or a recipient's status
    state: State | None = None


def matches(criteria: Criteria, entry: Entry, now: float) -> bool:
    """Whether a message meets all criteria; `now` is in seconds since the epoch."""
    return all(_answers(criteria, entry, now))


def _answers(criteria: Criteria, entry: Entry, now: float) -> Iterator[bool]:
    """One answer for each criterion that was given."""
    age = now - entry.arrived
    if criteria.state is not None:
        yield entry.state == criteria.state
    if criteria.older_than is not None:
        yield age >= criteria.older_than
    if criteria.newer_than is not None:
        yield age < criteria.newer_than
    if criteria.sender is not None:
        yield not entry.damaged and _is_sender(criteria.sender, entry.sender)
    if criteria.recipient is not None:
        wanted = criteria.recipient.casefold()
        yield any(address.casefold() == wanted for address in entry.recipients)
    if criteria.domain is not None:
        wanted = criteria.domain.casefold()
        yield any(domain_of(address) == wanted for address in entry.recipients)
    if criteria.reason is not None:
        wanted = criteria.reason.casefold()
        yield any(wanted in text.casefold() for text in (entry.reason, *entry.statuses))


def _is_sender(wanted: str, sender: str) -> bool:
    if wanted.startswith("@"):
        return domain_of(sender) == wanted[1:].casefold()
    return sender.casefold() == wanted.casefold()
