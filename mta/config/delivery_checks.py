"""How the parameters of mailboxes and commands must fit together."""

from collections.abc import Callable
from typing import Final

from mta.config.pipe_macros import MACROS
from mta.config.problems import complaint, quoted
from mta.config.table import Row
from mta.config.whole import RowCheck, View, ViewCheck, Whole
from mta.util.macros import Macros

__all__ = ["DELIVERY_CHECKS"]

_COMMAND: Final = "pipe_command"


def _check_command(view: View) -> None:
    for index, word in enumerate(view.parameters.pipe_command):
        try:
            names = Macros.parse(word).names
        except ValueError as error:
            view.complain((_COMMAND,), *complaint(error, word), index=index)
            continue
        for name in sorted(names - MACROS):
            expected, way_out = "a macro of pipe_command", view.whole.problems.suggest(name, MACROS)
            view.complain((_COMMAND,), expected, quoted(name), way_out, index=index)
    program = view.parameters.pipe_command[:1]
    if program and (not program[0].startswith("/") or "$" in program[0]):
        expected = "an absolute path of a program"
        view.complain((_COMMAND,), expected, quoted(program[0]), index=0)


def _check_flags(view: View) -> None:
    """One run has one Delivered-To and one X-Original-To."""
    flags, limit = view.parameters.pipe_flags, view.parameters.pipe_destination_recipient_limit
    wanting = " and ".join(flag for flag in "DO" if flag in flags)
    if wanting and limit != 1:
        names = ("pipe_destination_recipient_limit", "pipe_flags")
        view.complain(names, f"{names[0]} 1, for pipe_flags has {wanting}", str(limit))


def _check_time(view: View) -> None:
    """Else qmgr would not wait for the command's end, and try again: copies."""
    limit, patience = view.parameters.command_time_limit, view.parameters.delivery_timeout
    if limit >= patience and (view.sets("command_time_limit") or view.sets("delivery_timeout")):
        expected = f"less than delivery_timeout, {patience:g}s"
        view.complain(("command_time_limit", "delivery_timeout"), expected, f"{limit:g}s")


def _check_row(whole: Whole, row: Row) -> None:
    service = row.service
    if service.daemon != "pipe" or service.command:
        return
    path, problems = f"services.{service.name}", whole.problems
    if not service.settings.get(_COMMAND) and not whole.parameters.pipe_command:
        expected, found = f"{_COMMAND}, for a row of pipe runs one", "nothing"
        problems.add(row.place_of("settings", "daemon"), f"{path}.settings", expected, found)
    owner = whole.parameters.mail_owner
    if service.user in ("root", owner):
        expected = f"a user that has no queue and no host: neither root nor mail_owner, {owner}"
        problems.add(row.place_of("user"), f"{path}.user", expected, service.user)


DELIVERY_CHECKS: Final[tuple[Callable[[Whole], None], ...]] = (
    ViewCheck((_COMMAND,), _check_command),
    ViewCheck(("pipe_flags", "pipe_destination_recipient_limit"), _check_flags),
    ViewCheck(("command_time_limit", "delivery_timeout"), _check_time),
    RowCheck(("daemon", "user", "settings", "command"), _check_row, (_COMMAND, "mail_owner")),
)
