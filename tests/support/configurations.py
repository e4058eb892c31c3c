"""Configurations made by hypothesis from the table of parameters itself: sound, odd and broken.

Values are anything that a parameter's type admits. Left alone is what the test's own system must
keep to (its folders and users), and what would take the machine: thousands of processes.
"""

import typing
from typing import Any, Final

from hypothesis import strategies as st
from msgspec import inspect

from mta.config.parameters import DurationUnit, Parameters
from mta.config.validate import fields_of

__all__ = ["broken", "main_files", "row_settings", "service_rows"]

# The system under test has folders, users and patience of its own.
_KEPT: Final = (
    *("queue_directory", "log_file", "virtual_mailbox_base", "mail_owner", "private_group"),
    *("service_checkin_time", "smtpd_tls_security_level", "smtpd_tls_cert_file"),
    "smtpd_tls_key_file",
)
_SHARED: Final = ("service_throttle_time", *_KEPT)
_LABELS: Final = st.from_regex(r"\A[a-z][a-z0-9]{0,5}\Z")
_DOMAINS: Final = st.lists(_LABELS, min_size=1, max_size=3).map(".".join)
_ADDRESSES: Final = st.ip_addresses().map(str)
_NEXTHOPS: Final = st.one_of(
    st.just(""),
    _DOMAINS,
    st.tuples(_DOMAINS, st.integers(0, 70000)).map(lambda pair: f"[{pair[0]}]:{pair[1]}"),
    _ADDRESSES.map(lambda address: f"[{address}]"),
)
_TRANSPORTS: Final = st.tuples(
    st.sampled_from(("outbound", "virtual", "lmtp", "error", "discard", "")), _NEXTHOPS
).map(lambda pair: ":".join(filter(None, pair)) if pair[0] else "")
_NETWORKS: Final = st.one_of(
    _ADDRESSES,
    st.sampled_from(("127.0.0.0/8", "::1/128", "192.168.0.0/16", "fd00::/8", "0.0.0.0/0")),
)
# What a pattern alone would hardly ever bring.
_LIKELY: Final[dict[str, st.SearchStrategy[Any]]] = {
    "mynetworks": st.lists(_NETWORKS, max_size=3),
    "proxy_interfaces": st.lists(_ADDRESSES, max_size=2),
    "dns_servers": st.lists(_ADDRESSES, max_size=2),
    "relayhost": _NEXTHOPS,
    "smtp_fallback_relay": st.lists(_NEXTHOPS, max_size=2),
    "default_transport": _TRANSPORTS,
    "virtual_transport": _TRANSPORTS,
    "relay_transport": _TRANSPORTS,
    "myhostname": _DOMAINS,
}


def _values(name: str, hint: object) -> st.SearchStrategy[Any]:
    """Anything that the type admits, as YAML would hold it."""
    strange = _by_type(hint)
    if name not in _LIKELY:
        return strange
    return st.integers(0, 5).flatmap(lambda die: strange if die == 0 else _LIKELY[name])


def _by_type(hint: object) -> st.SearchStrategy[Any]:
    info = inspect.type_info(hint)
    extra = info.extra if isinstance(info, inspect.Metadata) else None
    kind = info.type if isinstance(info, inspect.Metadata) else info
    match kind:
        case inspect.StrType():
            return _texts(kind)
        case inspect.VarTupleType():
            bare = typing.get_args(hint)[0] if _is_annotated(hint) else hint
            return st.lists(_by_type(typing.get_args(bare)[0]), max_size=3)
        case inspect.FloatType():
            assert extra == DurationUnit, f"no strategy for {hint}"
            seconds = st.integers(int(kind.ge or 0) + 1, int(kind.le or 86400))
            return st.one_of(seconds, seconds.map(lambda value: f"{value}s"))
        case inspect.IntType():
            return st.integers(kind.ge, kind.le)
        case inspect.LiteralType():
            return st.sampled_from(kind.values)
        case _:
            assert isinstance(kind, inspect.BoolType), f"no strategy for {hint}"
            return st.booleans()


def _texts(kind: inspect.StrType) -> st.SearchStrategy[str]:
    alphabet = st.characters(min_codepoint=32, max_codepoint=126)
    if not kind.pattern:
        return st.text(alphabet, max_size=20)
    texts = st.from_regex(kind.pattern, alphabet=alphabet)
    return texts.filter(lambda text: len(text) <= (kind.max_length or 255))


def _is_annotated(hint: object) -> bool:
    return typing.get_origin(hint) is typing.Annotated


def _some_of(names: tuple[str, ...], at_most: int) -> st.SearchStrategy[dict[str, Any]]:
    fields = fields_of(Parameters)
    entries = {name: _values(name, fields[name]) for name in names}
    chosen = st.lists(st.sampled_from(sorted(entries)), max_size=at_most, unique=True)
    return chosen.flatmap(
        lambda some: st.fixed_dictionaries({name: entries[name] for name in some})
    )


def main_files() -> st.SearchStrategy[dict[str, Any]]:
    """Entries of main.yml beside those that the test's own system needs."""
    return _some_of(tuple(name for name in fields_of(Parameters) if name not in _KEPT), 12)


def row_settings() -> st.SearchStrategy[dict[str, Any]]:
    """Settings of a row."""
    return _some_of(tuple(name for name in fields_of(Parameters) if name not in _SHARED), 4)


def service_rows(names: tuple[str, ...]) -> st.SearchStrategy[dict[str, dict[str, Any]]]:
    """Overrides of rows with these names; each keeps a process ahead, so that all are started."""
    row = st.fixed_dictionaries(
        {"min_free": st.just(1)},
        optional={
            "numprocs": st.integers(1, 2),
            "client_limit": st.integers(1, 1000),
            "max_use": st.integers(0, 1000),
            "max_idle": st.integers(1, 1000),
            "restart": st.sampled_from(("on_demand", "always", "never")),
            "wakeup": st.sampled_from((0, 60, "5m")),
            "enabled": st.booleans(),
            "settings": row_settings(),
        },
    )
    return st.lists(st.sampled_from(names), max_size=4, unique=True).flatmap(
        lambda some: st.fixed_dictionaries(dict.fromkeys(some, row))
    )


@st.composite
def broken(draw: st.DrawFn, text: str) -> str:
    """The text of a file after one slip of the keyboard."""
    place = draw(st.integers(0, len(text) - 1))
    slip = draw(st.sampled_from(("drop", "double", "type", "cut", "swap")))
    match slip:
        case "drop":
            return text[:place] + text[place + 1 :]
        case "double":
            line = text.splitlines(keepends=True)[text.count("\n", 0, place)]
            return text + line
        case "type":
            return (
                text[:place] + draw(st.sampled_from("ax09:-{}[]\"'#&*!|>%@`\t\n ")) + text[place:]
            )
        case "cut":
            return text[:place]
        case _:
            return text[:place] + text[place : place + 2][::-1] + text[place + 2 :]
