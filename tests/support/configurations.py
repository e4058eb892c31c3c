"""Configurations made by hypothesis from the table of parameters itself: sound, odd and broken.

Values are anything that a parameter's type admits. Left alone is what the test's own system must
keep to (its folders and users), and what would take the machine: thousands of processes.
"""

from typing import Any, Final

from hypothesis import strategies as st
from msgspec import inspect

from mta.config.parameters import Parameters
from mta.config.tables import TABLE_PARAMETERS
from mta.config.validate import CONTROL, fields_of, is_duration
from mta.util.duration import format_duration

__all__ = ["added_rows", "broken", "main_files", "row_settings", "service_rows", "sound"]

# The system under test has folders, users and patience of its own.
_KEPT: Final = (
    *("queue_directory", "log_file", "virtual_mailbox_base", "mail_owner", "private_group"),
    *("service_checkin_time", "smtpd_tls_security_level", "smtpd_tls_cert_file"),
    "smtpd_tls_key_file",
)
_SHARED: Final = ("service_throttle_time", *_KEPT)
_ASCII: Final = st.characters(min_codepoint=32, max_codepoint=126)
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
# Daemons that a further row may run: the user, and the address but for its name.
_ADDED: Final = {
    "smtpd": ("mtanet", "unix:public"),
    "smtp": ("mtanet", "ipc:private"),
    "lmtp": ("mtanet", "ipc:private"),
    "virtual": ("vmail", "ipc:private"),
    "cleanup": ("mta", "ipc:private"),
    "error": ("mta", "ipc:private"),
    "rewrite": ("mta", "ipc:private"),
    "lookup": ("mta", "ipc:private"),
}
_ENTRIES: Final = st.dictionaries(
    _DOMAINS.map("@".__add__) | _LABELS | _DOMAINS,
    _DOMAINS.map("x@".__add__),
    min_size=1,
    max_size=3,
).map(lambda entries: ", ".join(f"{key}={value}" for key, value in entries.items()))
_TABLES: Final = st.lists(
    st.one_of(
        _ENTRIES.map(lambda entries: f"inline:{{{entries}}}"),
        st.sampled_from(
            (
                "static:x@example.net",
                "pcre:{{/^(a+)+$/ x@example.net}}",
                "regexp:{{/^b(.*)@/ ${1}@example.net}}",
                "cidr:{{192.0.2.0/24 yes}}",
                "unionmap:{static:a@b.example, inline:{c=d@e.example}}",
                "socketmap:inet:127.0.0.1:1:nobody",
                "cdb:/nonexistent/table",
                "texthash:/",
                "inline:{",
            )
        ),
    ),
    max_size=2,
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
    "local_transport": _TRANSPORTS,
    **{
        name: st.lists(_DOMAINS, max_size=2)
        for name in ("mydestination", "virtual_alias_domains", "masquerade_domains")
    },
    "local_header_rewrite_clients": st.lists(_NETWORKS, max_size=2),
    **dict.fromkeys(TABLE_PARAMETERS, _TABLES),
}


def sound(
    info: inspect.Type, alphabet: st.SearchStrategy[str] | None = None
) -> st.SearchStrategy[Any]:
    """Values that the type admits, as YAML would hold them; texts of that alphabet, or of any."""
    kind = info.type if isinstance(info, inspect.Metadata) else info
    match kind:
        case inspect.BoolType():
            return st.booleans()
        case inspect.LiteralType():
            return st.sampled_from(kind.values)
        case inspect.IntType():
            return st.integers(kind.ge, kind.le)
        case inspect.VarTupleType():
            return st.lists(sound(kind.item_type, alphabet), max_size=3)
        case inspect.StrType():
            return _texts(kind, alphabet)
    assert isinstance(kind, inspect.FloatType), f"no values known of {kind}"
    assert is_duration(info), f"no values known of {kind}"
    whole = st.integers(int(kind.ge or 0) + 1, int(kind.le or 0))
    return st.floats(kind.ge, kind.le) | whole | whole.map(format_duration)


def _texts(
    kind: inspect.StrType, alphabet: st.SearchStrategy[str] | None
) -> st.SearchStrategy[str]:
    assert kind.pattern
    longest = kind.max_length or 1000
    return st.from_regex(kind.pattern, alphabet=alphabet).filter(
        lambda text: len(text) <= longest and not CONTROL.search(text)
    )


def _values(name: str, hint: object) -> st.SearchStrategy[Any]:
    """What a type admits in ASCII; mostly what is likely, where a pattern alone says little."""
    strange = sound(inspect.type_info(hint), _ASCII)
    if name not in _LIKELY:
        return strange
    return st.integers(0, 5).flatmap(lambda die: strange if die == 0 else _LIKELY[name])


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
    return st.lists(st.sampled_from(names), max_size=4, unique=True).flatmap(
        lambda some: st.fixed_dictionaries(dict.fromkeys(some, _row({})))
    )


def added_rows() -> st.SearchStrategy[dict[str, dict[str, Any]]]:
    """Rows of names that no profile has, each a second one of some daemon."""

    def row(name: str) -> st.SearchStrategy[dict[str, Any]]:
        kinds = [
            _row({"daemon": daemon, "user": user, "listen": [f"{address}/{name}"]})
            for daemon, (user, address) in _ADDED.items()
        ]
        return st.one_of(kinds)

    return st.lists(st.sampled_from(("further", "second-1")), max_size=2, unique=True).flatmap(
        lambda some: st.fixed_dictionaries({name: row(name) for name in some})
    )


def _row(fixed: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"min_free": st.just(1), **{key: st.just(value) for key, value in fixed.items()}},
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
