"""Whether the parameters of local make sense, and whether mail for nobody is refused at the door.

error     a text with $name that is none; a table of patterns for aliases; root as default_privs; a
          row that mail is handed to and that there is not (checks.py)
warning   a host whose local users nobody lists: mail for others is returned to forged senders
"""

from collections.abc import Callable
from typing import Final

from mta.config.problems import complaint, quoted
from mta.config.whole import View, ViewCheck, Whole, WholeCheck
from mta.lookup.syntax import parse
from mta.util.substitution import substitute

__all__ = ["LOCAL_CHECKS"]

_PATTERNS: Final = frozenset(("pcre", "regexp"))


def _check_forward_path(view: View) -> None:
    for index, template in enumerate(view.parameters.forward_path):
        _check_template(view, "forward_path", template, index)


def _check_luser_relay(view: View) -> None:
    _check_template(view, "luser_relay", view.parameters.luser_relay, None)


def _check_template(view: View, name: str, template: str, index: int | None) -> None:
    try:
        substitute(template, {})
    except ValueError as error:
        view.complain((name,), *complaint(error, template), index=index)


def _check_aliases(view: View) -> None:
    """What a sender chose must not become a part of a command, as $1 would be."""
    for index, text in enumerate(view.parameters.alias_maps):
        try:
            kinds = {leaf.kind for leaf in parse(text).leaves()}
        except ValueError:
            continue  # said of all tables
        if kinds & _PATTERNS:
            expected = "a table of names: one of patterns is never asked for an alias"
            view.complain(("alias_maps",), expected, quoted(text), index=index)


def _check_rights(view: View) -> None:
    if view.parameters.default_privs == "root":
        view.complain(("default_privs",), "a user without rights, such as nobody", "root")


def _warn_of_unlisted(whole: Whole) -> None:
    parameters = whole.parameters
    row = whole.table.rows.get(parameters.local_transport.partition(":")[0])
    if row is None or row.service.daemon != "local" or not parameters.mydestination:
        return
    if not parameters.local_recipient_maps:
        name = "local_recipient_maps"
        expected = "tables of all users and aliases, so that mail for others is refused"
        way_out = "set it to [unix:passwd.byname] and the tables of alias_maps"
        whole.problems.warn(whole.place_of(name), f"main.{name}", expected, "nothing", way_out)


LOCAL_CHECKS: Final[tuple[Callable[[Whole], None], ...]] = (
    ViewCheck(("forward_path",), _check_forward_path),
    ViewCheck(("luser_relay",), _check_luser_relay),
    ViewCheck(("alias_maps",), _check_aliases),
    ViewCheck(("default_privs",), _check_rights),
    WholeCheck(
        ("mydestination", "local_transport", "local_recipient_maps"),
        ("daemon",),
        _warn_of_unlisted,
    ),
)
