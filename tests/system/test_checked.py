"""What `mta check` passes, runs: with every parameter at its bounds, and at values between them.

A value that a daemon cannot live with would be one that the table should not admit.
"""

import random
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
import pytest
from msgspec import inspect
from support.instance import DOMAIN, Instance

from mta.config.parameters import Parameters
from mta.config.validate import fields_of

# What the host, not the daemon, would have to provide; and time that a cold start needs.
_GIVEN: Final = frozenset(("smtpd_tls_security_level", "service_checkin_time"))
_SEED: Final = 20

Choice = Callable[[inspect.Type], Any]


def _types() -> Iterator[tuple[str, inspect.Type]]:
    for name, hint in fields_of(Parameters).items():
        info = inspect.type_info(hint)
        if name not in _GIVEN:
            yield name, info.type if isinstance(info, inspect.Metadata) else info


def lowest(kind: inspect.Type) -> object:
    match kind:
        case inspect.IntType() | inspect.FloatType():
            return kind.ge
        case inspect.LiteralType():
            return kind.values[0]
        case inspect.BoolType():
            return False
    return msgspec.UNSET


def highest(kind: inspect.Type) -> object:
    match kind:
        case inspect.IntType() | inspect.FloatType():
            return kind.le
        case inspect.LiteralType():
            return kind.values[-1]
        case inspect.BoolType():
            return True
    return msgspec.UNSET


def between(kind: inspect.Type) -> object:
    dice = random.Random(f"{_SEED} {kind}")
    match kind:
        case inspect.IntType() | inspect.FloatType():
            assert isinstance(kind.ge, int | float)
            assert isinstance(kind.le, int | float)
            value = kind.ge + (kind.le - kind.ge) * dice.random() ** 8  # the small ones matter
            return round(value, 3) if isinstance(kind, inspect.FloatType) else int(value)
        case inspect.LiteralType():
            return dice.choice(kind.values)
    return msgspec.UNSET


@pytest.mark.parametrize("choose", [lowest, highest, between])
def test_what_is_checked_runs(instance: Instance, choose: Choice) -> None:
    values = {name: choose(kind) for name, kind in _types()}
    chosen = {name: value for name, value in values.items() if value is not msgspec.UNSET}
    assert len(chosen) > 40
    least, most = sorted((chosen["minimal_backoff_time"], chosen["maximal_backoff_time"]))
    chosen |= {"minimal_backoff_time": least, "maximal_backoff_time": most}
    longest = max(chosen["delivery_timeout"], chosen["command_time_limit"] + 1)
    chosen |= {"delivery_timeout": longest}
    instance.configure(chosen)
    checked = instance.mta("check")
    assert checked.stdout.startswith("valid: ")
    instance.reload()
    instance.wait_status(
        lambda status: all(
            row["state"] in {"running", "idle"} and not row["throttled_until"]
            for row in status["services"]
        ),
        "all rows well",
    )
    with instance.smtp() as client:
        assert DOMAIN in client.expect(220).text
        client.say("EHLO client.test", 250)
        client.say("QUIT", 221)
    assert instance.service("qmgr")["state"] == "running"
