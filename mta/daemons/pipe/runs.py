"""Which recipients share a run of the command, and what becomes of them.

The law: what cannot be begun is deferred, and so is what there is no time for: qmgr waits for
delivery_timeout, and whoever is delivered after it gets a second copy.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from mta.config.parameters import Parameters
from mta.daemons.pipe.arguments import (
    CommandLine,
    client_values,
    recipient_values,
    sender_value,
)
from mta.daemons.pipe.form import formed
from mta.delivery.agent import Result, result_of
from mta.delivery.command import run_command
from mta.delivery.content import ContentReader
from mta.delivery.environment import exported
from mta.delivery.exit_status import outcome_of, printable
from mta.delivery.origin import origin_of
from mta.delivery.trace import was_delivered_to
from mta.ipc.messages import Deliver, DeliverRecipient
from mta.lookup.forms import Extensions
from mta.proto.status import Status, permanent, temporary

__all__ = ["Runs"]


class Runs:
    """One row's command; its calls block."""

    def __init__(self, parameters: Parameters, row: str, environment: Mapping[str, str]) -> None:
        """`environment` is what export_environment takes values from."""
        self._parameters = parameters
        self._row = row
        self._command = CommandLine(parameters.pipe_command)
        self._extensions = Extensions.of(parameters.recipient_delimiter)
        self._environment = exported(parameters.export_environment, environment)

    def deliver(self, request: Deliver, due: float, content: ContentReader) -> list[Result]:
        """Run the command for all recipients; each run has an outcome of its own.

        `due`: when qmgr waits no more, in seconds of the monotonic clock.
        """
        results = []
        for group in self._groups(request.recipients):
            run = partial(self._run, request, group, content, due)
            results += result_of(self._row, group, run)
        return results

    def _groups(
        self, recipients: Sequence[DeliverRecipient]
    ) -> Iterator[tuple[DeliverRecipient, ...]]:
        parameters = self._parameters
        size = parameters.pipe_destination_recipient_limit
        for first in range(0, len(recipients), size):
            yield tuple(recipients[first : first + size])

    def _run(
        self,
        request: Deliver,
        group: Sequence[DeliverRecipient],
        content: ContentReader,
        due: float,
    ) -> Status:
        parameters = self._parameters
        self._refuse(group[0], content)
        if time.monotonic() + parameters.command_time_limit > due:
            temporary("4.3.2", "no time left for this recipient in this attempt")
        arguments = self._arguments(request, group, content)
        sender = request.sender or parameters.pipe_null_sender
        crlf = parameters.pipe_eol == "crlf"
        pieces = formed(content.chunks(), parameters.pipe_flags, sender, group[0], crlf=crlf)
        try:
            ended = run_command(
                arguments,
                pieces,
                parameters.command_time_limit,
                self._environment,
                parameters.pipe_directory or ".",
            )
        except OSError as error:
            temporary("4.3.5", "the command cannot be run", str(error))
        said = printable(ended.output)
        success = f"delivered via {self._row} service{f' ({said})' if said else ''}"
        return outcome_of(ended, arguments[0], success)

    def _refuse(self, recipient: DeliverRecipient, content: ContentReader) -> None:
        parameters = self._parameters
        if not parameters.pipe_command:
            temporary("4.3.5", "no command is configured", "pipe_command is empty")
        limit = parameters.pipe_size_limit
        if limit and content.length > limit:
            text = f"message size {content.length} exceeds size limit {limit} of {self._row}"
            permanent("5.2.3", text, code=552)
        if "D" in parameters.pipe_flags and was_delivered_to(
            content.headers(parameters.header_size_limit), recipient.address
        ):
            permanent("5.4.6", "mail forwarding loop", code=554)

    def _arguments(
        self, request: Deliver, group: Sequence[DeliverRecipient], content: ContentReader
    ) -> list[str]:
        parameters = self._parameters
        flags, null_sender = parameters.pipe_flags, parameters.pipe_null_sender
        values = {
            "sender": sender_value(request.sender, null_sender, flags),
            "nexthop": request.nexthop.lower() if "h" in flags else request.nexthop,
            "queue_id": request.queue_id,
            "size": str(content.length),
        }
        if self._command.wants_client:
            values |= client_values(origin_of(request.queue_id, content))
        each = [recipient_values(recipient, flags, self._extensions) for recipient in group]
        return self._command.expand(values, each)
