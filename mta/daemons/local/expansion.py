"""Whom and what mail for one recipient is for: local(8) of Postfix, case by case, without IO.

    1. a recipient that a Delivered-To field names        bounces, 5.4.6
    2. alias_maps, with the extension and without         its targets
    3. another user, where a .forward file, an :include:  a new message, so that each recipient has
       file or an alias with an owner names him           a state of its own on the disk
    4. the first file of forward_path that is there       its targets
    5. else                                               the mailbox (outlets.py)

An alias that its own expansion names is taken for the user, as is a user who names himself. What
two aliases make of each other ends after 100 steps, with 5.4.6; what two .forward files do, by rule
1. Each target is served once for a message.

One outcome for all: a target that must be tried again makes the recipient be tried again, and
nothing is forwarded then; else one that failed makes him bounce with its reason, though others
were served.
"""

from collections.abc import Coroutine, Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from mta.config.parameters import Parameters
from mta.daemons.local.house import Alias, House
from mta.daemons.local.outlets import NoMailboxError, Outlets, is_path
from mta.daemons.local.steps import Known, Rights, Source, Step, step_to, substituted
from mta.ipc.messages import FileState
from mta.lookup.forms import Extensions
from mta.proto import address
from mta.proto.address import Mailbox
from mta.proto.aliases import Target, TargetKind, parse_lines, parse_targets
from mta.proto.envelope import Origin, Recipient
from mta.proto.status import MailError, Status, permanent, temporary
from mta.util.substitution import safe

__all__ = ["Expansion"]

_DEPTH_LIMIT: Final = 100  # steps, as in Postfix
_WORK_LIMIT: Final = 100_000  # targets of one recipient
_TURN: Final = 50  # targets after which others have their turn
_TEXT_LIMIT: Final = 400  # characters of an outcome's text

Seen = set[tuple[str, ...]]


class _Todo(Struct, frozen=True):
    """A target, and the step that it was named at."""

    target: Target
    step: Step


class _Done(Struct, frozen=True):
    """What is to be known once everything before it is done."""

    key: tuple[str, ...]


class Expansion:
    """The delivery of one message to one recipient.

    `delivered_to`: the recipients that its Delivered-To fields name, in lower case. `seen`: what
    was done for other recipients of the message already; it grows.
    """

    def __init__(
        self,
        parameters: Parameters,
        house: House,
        origin: Origin,
        delivered_to: frozenset[str],
        seen: Seen,
    ) -> None:
        self._parameters = parameters
        self._house = house
        self._delivered_to = delivered_to
        self._seen = seen
        self._outlets = Outlets(parameters, house, origin, seen)
        self._extensions = Extensions.of(
            parameters.recipient_delimiter,
            parameters.double_bounce_sender,
            lists=parameters.owner_request_special,
        )
        self._propagated = frozenset(parameters.propagate_unmatched_extensions)
        self._work: list[_Todo | _Done] = []  # the next one last
        self._outcomes: list[Status] = []
        self._forwards: dict[str, dict[str, Recipient]] = {}  # by sender, by address

    async def deliver(self, recipient: Recipient, sender: str) -> Status:
        """Do it all; the outcome. What is forwarded is on stable storage before this returns.

        MailError for what is no address, or leads to more than any message is for.
        """
        mailbox = _parsed(recipient.address)
        first = step_to(
            mailbox,
            self._extensions,
            Known(
                sender=sender,
                original=recipient.original or recipient.address,
                delivered=str(mailbox),
            ),
        )
        await self._attempt(self._recipient(first))
        count = 0
        while self._work:
            item = self._work.pop()
            if isinstance(item, _Done):
                self._seen.add(item.key)
                continue
            await self._attempt(self._target(item.target, item.step))
            count += 1
            if count == _WORK_LIMIT:
                temporary("4.6.0", "alias expansion error", f"more than {count} targets")
            if not count % _TURN:
                await self._house.turn()
        return await self._conclusion(first)

    async def _attempt(self, attempt: Coroutine[Any, Any, Status | None]) -> None:
        """Note the outcome of one target: the others go on."""
        try:
            status = await attempt
        except MailError as error:
            status = error.status
            self._house.warn("target_failed", status=str(status), reason=error.reason)
        if status is not None:
            self._outcomes.append(status)

    async def _conclusion(self, first: Step) -> Status:
        """One outcome for all; what is to be forwarded, is."""
        for status in self._outcomes:
            if status.is_temporary:
                return status
        texts = [status.text for status in self._outcomes]
        for sender, recipients in self._forwards.items():
            try:
                queue_id = await self._house.forward(
                    sender, tuple(recipients.values()), first.delivered
                )
            except MailError as error:
                temporary("4.3.0", "unable to forward message", str(error))
            texts.append(f"forwarded as {queue_id}")
        for status in self._outcomes:
            if status.is_permanent:
                return status
        if not texts:
            self._house.warn("leads_nowhere", to=first.address)
        text = "; ".join(texts) or "nothing to deliver: it leads to no recipient"
        return Status(250, "2.0.0", text[:_TEXT_LIMIT])

    # Recipients

    async def _recipient(self, step: Step) -> Status | None:
        if self._is_done("recipient", str(step.depth), step.address.lower()):
            return None
        if step.address.lower() in self._delivered_to:
            permanent("5.4.6", f"mail forwarding loop for {safe(step.address)}", code=554)
        if not step.user:
            permanent("5.1.3", f'null username in "{safe(step.address)}"')
        extension = step.delimiter + step.extension
        if await self._alias(step.local, replace(step, unmatched="")):
            return None
        if extension:
            unmatched = extension if "alias" in self._propagated else ""
            if await self._alias(step.user, replace(step, unmatched=unmatched)):
                return None
        step = replace(step, unmatched=extension)
        if step.source is Source.INCLUDE or (step.owner and step.owner.lower() != step.user):
            self._forward(step, step.address)
            return None
        if await self._forward_file(step):
            return None
        return await self._mailbox(step)

    async def _alias(self, name: str, step: Step) -> bool:
        """Whether the name is an alias; then its targets are to be served."""
        if step.expanded_from == name:
            return False
        alias = await self._house.alias(name)
        if alias is None:
            return False
        if step.depth > _DEPTH_LIMIT:
            permanent("5.4.6", f"alias database loop for {safe(name)}", code=554)
        rights = Rights(alias.owner.name, alias.owner) if alias.owner else None
        step = replace(step, expanded_from=name, source=Source.ALIAS, rights=rights)
        if self._parameters.owner_request_special:
            owner = await self._house.alias(f"owner-{name}")
            if owner is not None:
                sender = await self._owner_of(name, owner)
                # Who is told of failures is no more who wrote: neither is whom he wrote to.
                step = replace(step, sender=sender, owner=sender, original="")
        self._push(parse_targets(alias.value), step)
        return True

    async def _owner_of(self, name: str, owner: Alias) -> str:
        """The address that failures of mail for an alias are told."""
        whom = owner.value if self._parameters.expand_owner_alias else f"owner-{name}"
        return (await self._house.route(str(_parsed(whom)))).address

    async def _forward_file(self, step: Step) -> bool:
        """Whether the user has a .forward file that says where his mail goes."""
        account = await self._house.account(step.user)
        if account is None:
            return False
        values = step.values | {"home": account.home, "shell": account.shell}
        for template in self._parameters.forward_path:
            place = substituted(template, values)
            if not place.usable or not place.text.startswith("/"):
                continue
            if ("forward", place.text) in self._seen:  # or else he names himself
                return ("forward done", place.text) in self._seen
            found = await self._house.read(account.name, place.text)
            if found.state is FileState.MISSING:
                continue
            self._seen.add(("forward", place.text))
            if found.state is FileState.UNSAFE:
                self._house.warn("forward_unsafe", path=place.text, reason=found.reason)
                return False
            targets = parse_lines(found.content)
            propagates = "forward" in self._propagated and "extension" not in place.names
            self._work.append(_Done(("forward done", place.text)))
            self._push(
                targets,
                replace(
                    step,
                    expanded_from=step.local,
                    source=Source.FORWARD,
                    owner=step.user,
                    rights=Rights(account.name, account),
                    unmatched=step.unmatched if propagates else "",
                ),
            )
            return bool(targets)
        return False

    async def _mailbox(self, step: Step) -> Status | None:
        try:
            return await self._outlets.mailbox(step)
        except NoMailboxError:
            if self._parameters.luser_relay and not step.relayed:
                await self._relay(step)
                return None
            return self._outlets.nobody(step)

    async def _relay(self, step: Step) -> None:
        """Have luser_relay get the mail of a user who does not exist: an address, and no more."""
        relay = substituted(self._parameters.luser_relay, step.values)
        target = Target(TargetKind.ADDRESS, relay.text)
        self._push((target,), replace(step, relayed=True, unmatched=""))

    # Targets

    def _push(self, targets: Sequence[Target], step: Step) -> None:
        self._work += [_Todo(target, step) for target in reversed(targets)]

    async def _target(self, target: Target, step: Step) -> Status | None:
        match target.kind:
            case TargetKind.FILE:
                return await self._outlets.file(target.text, step)
            case TargetKind.COMMAND:
                return await self._outlets.command(target.text, step)
            case TargetKind.INCLUDE:
                await self._include(target.text, step)
                return None
            case TargetKind.ADDRESS | TargetKind.MAILBOX:
                return await self._address(target, step)

    async def _include(self, path: str, step: Step) -> None:
        user = step.rights.user if step.rights else self._parameters.default_privs
        if self._is_done("include", user, path):
            return
        if not is_path(path):
            permanent("5.3.5", ":include: file without an absolute path", path)
        found = await self._house.read(user, path)
        if found.state is not FileState.READ:
            reason = found.reason or found.state.value
            permanent("5.3.5", "an :include: file cannot be read", f"{path}: {reason}")
        step = replace(
            step,
            source=Source.INCLUDE,
            owner=step.owner or step.address,
            unmatched=step.unmatched if "include" in self._propagated else "",
        )
        self._push(parse_lines(found.content), step)

    async def _address(self, target: Target, step: Step) -> Status | None:
        named = _parsed(target.text)
        if step.unmatched:
            named = Mailbox(named.local + step.unmatched, named.domain)
        route = await self._house.route(str(named))
        if not route.is_local:
            self._forward(step, route.address)
            return None
        known = Known(
            depth=step.depth + 1,
            sender=step.sender,
            original=step.original,
            delivered=step.delivered,
            expanded_from=step.expanded_from,
            source=step.source,
            owner=step.owner,
            rights=step.rights,
            relayed=step.relayed,
        )
        next_step = step_to(_parsed(route.address), self._extensions, known)
        if target.kind is TargetKind.MAILBOX:
            return await self._mailbox(next_step)
        return await self._recipient(next_step)

    def _forward(self, step: Step, to: str) -> None:
        if not self._is_done("forwarded", to.lower()):
            recipients = self._forwards.setdefault(step.sender, {})
            recipients[to.lower()] = Recipient(to, step.original or to)

    def _is_done(self, *key: str) -> bool:
        if key in self._seen:
            return True
        self._seen.add(key)
        return False


def _parsed(text: str) -> Mailbox:
    try:
        return address.parse(text)
    except ValueError as error:
        permanent("5.1.3", "bad address syntax", f"{text!r}: {error}")
