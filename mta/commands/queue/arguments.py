"""The arguments that the verbs share: queue ids, criteria, and how to go about it."""

import functools
from collections.abc import Callable
from typing import Any

import click

from mta.commands.main import Target
from mta.commands.queue.choice import Choice
from mta.commands.queue.selection import Criteria
from mta.queue.layout import STATES
from mta.util.duration import parse_duration

__all__ = ["chooses", "may_choose"]

Command = Callable[[Target, Choice], None]


class _Duration(click.ParamType[float]):
    """Seconds, written as in main.yml."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The seconds; a usage error if the text is no duration."""
        seconds = parse_duration(str(value))
        if seconds is None:
            self.fail(f"{value!r} is no duration: 90s, 5m, 2h, 3d, 1w", param, ctx)
        return seconds


def _sender(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value == "@":
        raise click.BadParameter("a domain is missing after the @")
    return "" if value == "<>" else value


def _filled(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    # An empty value is a variable of a script that was never set; it would be met by too much.
    if value is not None and not value.strip():
        raise click.BadParameter("it is empty")
    return value


def _domain(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    value = _filled(context, parameter, value)
    return None if value is None else value.removeprefix("@")


_ARGUMENTS = (
    click.argument("queue_ids", metavar="[ID...]", nargs=-1),
    click.option(
        "--sender",
        metavar="ADDR",
        callback=_sender,
        help="From this sender; @DOMAIN: from any of the domain; '': the null sender.",
    ),
    click.option(
        "--recipient", metavar="ADDR", callback=_filled, help="With this unfinished recipient."
    ),
    click.option(
        "--domain",
        metavar="DOMAIN",
        callback=_domain,
        help="With an unfinished recipient in this domain.",
    ),
    click.option(
        "--older-than", metavar="TIME", type=_Duration(), help="Arrived this long ago: 2h, 3d."
    ),
    click.option("--newer-than", metavar="TIME", type=_Duration(), help="Arrived since: 10m, 2h."),
    click.option(
        "--reason", metavar="TEXT", callback=_filled, help="Waiting for a reason with this text."
    ),
    click.option("--state", type=click.Choice(STATES), help="In this state."),
    click.option("--all", "everything", is_flag=True, help="All messages."),
)
_JSON = click.option("--json", "as_json", is_flag=True, help="List as one JSON array.")
_CHANGES = (
    click.option("--dry-run", is_flag=True, help="List what would be done, and change nothing."),
    click.option("--yes", is_flag=True, help="Do not ask before acting on several messages."),
    _JSON,
)


def may_choose(function: Command) -> Callable[..., None]:
    """Give a command the arguments of a look; without any of them all messages are meant."""
    return _with_arguments(function, (*_ARGUMENTS, _JSON), needs_choice=False)


def chooses(*, or_all: bool = False) -> Callable[[Command], Callable[..., None]]:
    """Give a command the arguments of a verb; `or_all`: without a choice all are meant."""
    return lambda function: _with_arguments(
        function, (*_ARGUMENTS, *_CHANGES), needs_choice=not or_all
    )


def _with_arguments(
    function: Command,
    arguments: tuple[Callable[[Callable[..., None]], Callable[..., None]], ...],
    *,
    needs_choice: bool,
) -> Callable[..., None]:
    @functools.wraps(function)
    def command(  # one parameter for each option
        options: Target,
        queue_ids: tuple[str, ...],
        everything: bool,
        as_json: bool,
        dry_run: bool = False,
        yes: bool = False,
        **criteria: Any,  # noqa: ANN401 - click has given each its type
    ) -> None:
        choice = Choice(queue_ids, Criteria(**criteria), everything, dry_run, yes, as_json)
        if choice.by_criteria and queue_ids:
            raise click.UsageError("give queue ids, or --all and other criteria, not both")
        if needs_choice and not choice.by_criteria and not queue_ids:
            raise click.UsageError("give queue ids, or --all, or other criteria")
        function(options, choice)

    decorated: Callable[..., None] = click.pass_obj(command)
    for argument in reversed(arguments):
        decorated = argument(decorated)
    return decorated
