"""Whether the parameters of local make sense, and whether mail for nobody is refused at the door.

error     a text with $name that is none; a table of patterns for aliases; root as default_privs; a
          row that mail is handed to and that there is not (checks.py); nobody who could say which
          users there are
warning   a host whose local users nobody lists: mail for others is returned to forged senders; a
          relay for those who are no users, where such are refused at the door
"""

from collections.abc import Callable
from typing import Final

from mta.config.derived import LISTED, listing_row, local_row
from mta.config.problems import complaint, quoted
from mta.config.table_checks import LOOKUP_SERVICE
from mta.config.whole import View, ViewCheck, Whole, WholeCheck
from mta.lookup.syntax import parse
from mta.util.substitution import substitute

__all__ = ["LOCAL_CHECKS"]

_PATTERNS: Final = frozenset(("pcre", "regexp"))
_LOCAL: Final = ("mydestination", "local_transport")  # what makes a house deliver to its users
_FOR_NOBODY: Final = ("luser_relay", "fallback_transport", "fallback_transport_maps")


def _check_forward_path(view: View) -> None:
    for index, template in enumerate(view.parameters.forward_path):
        _check_template(view, "forward_path", template, index)


def _check_luser_relay(view: View) -> None:
    _check_template(view, "luser_relay", view.parameters.luser_relay, None)


def _check_execution_directory(view: View) -> None:
    name = "command_execution_directory"
    template = view.parameters.command_execution_directory
    _check_template(view, name, template, None)
    if template and template[0] not in "/$":
        view.complain((name,), "an absolute path, or $home", quoted(template))


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
    is_empty = LISTED in whole.main and not whole.parameters.local_recipient_maps
    if is_empty and local_row(whole) is not None:
        expected = "tables of all users and aliases, so that mail for others is refused"
        way_out = "remove it: this host's users and the tables of alias_maps are the default"
        place = whole.place_of(LISTED)
        whole.problems.warn(place, f"main.{LISTED}", expected, "nothing", way_out)


def _check_lookup(whole: Whole) -> None:
    """Who is a user is asked of the row that can wait for the answer."""
    if listing_row(whole) is None:
        return
    if not any(LOOKUP_SERVICE in row.service.listen for row in whole.table.rows.values()):
        expected = "a row lookup, which is asked for this host's users by default"
        way_out = f"enable a row that listens on {LOOKUP_SERVICE}, or set {LISTED}"
        whole.problems.add(whole.place, f"main.{LISTED}", expected, "none", way_out)


def _warn_of_relays_for_nobody(whole: Whole) -> None:
    """Who is refused at the door is never relayed."""
    row = listing_row(whole)
    if row is None:
        return
    parameters = whole.view(row).parameters
    for name in _FOR_NOBODY:
        if getattr(parameters, name):
            expected = f"{LISTED} to be set, for by default clients cannot name who is no user"
            way_out = f"{LISTED}: [] lets all mail in"
            whole.problems.warn(whole.place_of(name), f"main.{name}", expected, name, way_out)


LOCAL_CHECKS: Final[tuple[Callable[[Whole], None], ...]] = (
    ViewCheck(("forward_path",), _check_forward_path),
    ViewCheck(("luser_relay",), _check_luser_relay),
    ViewCheck(("command_execution_directory",), _check_execution_directory),
    ViewCheck(("alias_maps",), _check_aliases),
    ViewCheck(("default_privs",), _check_rights),
    WholeCheck((*_LOCAL, LISTED), ("daemon",), _warn_of_unlisted),
    WholeCheck(_LOCAL, ("daemon", "listen"), _check_lookup),
    WholeCheck((*_LOCAL, *_FOR_NOBODY), ("daemon", "settings"), _warn_of_relays_for_nobody),
)
