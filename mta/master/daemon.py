"""The daemon skeleton: the whole main of every daemon is its declarations and one `run`.

    check-in -> snapshot -> log -> sandbox -> loop -> handler.start() -> clients

NAME
    mta.master.daemon - what all daemons share

DIAGNOSTICS
    Problems go to the log as JSON lines, or to stderr before there is a log. Exit status, as in
    sysexits.h: 0 ended in order; 64 not told what it is; 70 a fault of ours; 75 could not start,
    try again; 78 the configuration or the sandbox cannot be had.

SIGNALS
    SIGTERM ends the daemon within seconds. SIGHUP, SIGINT and SIGPIPE are ignored: a terminal's
    signals go to the whole group, and the master decides what becomes of its daemons.
"""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable

import uvloop

from mta.config.snapshot import SnapshotError, load_snapshot
from mta.master.channel import Bye, encode
from mta.master.checkin import STDERR, Birth, CheckinError, check_in
from mta.master.lifecycle import Lifecycle, Pace
from mta.master.row import daemon_name, row_of
from mta.master.sandbox import Needs, SandboxError, enter_sandbox
from mta.master.session import Context, Handler, PipeReader, Session
from mta.master.stdio import StdioClient
from mta.master.users import house_users
from mta.proto.status import MailError
from mta.util.log import Log

__all__ = ["Context", "Handler", "Needs", "Pace", "PipeReader", "Session", "run"]

MakeHandler = Callable[[Context], Handler | PipeReader]


def run(*, needs: Needs, handler: MakeHandler, pace: Pace | None = None) -> None:
    """Be a daemon until its end, and exit: this does not return."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    try:
        birth = check_in(sys.argv[1:], os.environ)
    except CheckinError as error:
        Log(STDERR, daemon_name(), "", 0).error("checkin_failed", reason=str(error))
        sys.exit(os.EX_USAGE)
    log = Log(birth.log, birth.service or daemon_name(), birth.process, birth.generation)
    try:
        status = _live(birth, log, needs, handler, pace or Pace())
    except Exception as error:  # noqa: BLE001 - the last border: said, then the end
        log.failure("crashed", error)
        status = os.EX_SOFTWARE
    # Not sys.exit: a worker thread in a slow fsync must not hold a process that has to end.
    os._exit(status)


def _live(birth: Birth, log: Log, needs: Needs, make: MakeHandler, pace: Pace) -> int:
    try:
        snapshot = load_snapshot(birth.generation)
        service = row_of(snapshot, birth.service)
        parameters = snapshot.parameters_for(service)
        users = house_users(snapshot, service)
        rows = map(snapshot.parameters_for, snapshot.services if needs.tables else ())
        enter_sandbox(needs, parameters, service.client_limit, log, rows)
    except (SnapshotError, SandboxError, KeyError) as error:
        log.error("start_failed", reason=str(error))
        if birth.channel is not None:
            birth.channel.send(encode(Bye("failed")))
        return os.EX_CONFIG
    gc.freeze()  # what was imported stays: no collection has to look at it
    gc.enable()  # it was off since the start: see mta.daemons
    loop = uvloop.new_event_loop()
    lifecycle = Lifecycle(loop, log, service, birth, pace, users, strangers=needs.strangers)
    loop.set_exception_handler(lifecycle.report)
    loop.add_signal_handler(signal.SIGTERM, lifecycle.hurry)
    context = Context(
        log=log,
        parameters=parameters,
        snapshot=snapshot,
        service=service,
        loop=loop,
        used=lifecycle.used,
        retire=lifecycle.due,
    )
    return loop.run_until_complete(_serve(birth, context, make, lifecycle))


async def _serve(birth: Birth, context: Context, make: MakeHandler, lifecycle: Lifecycle) -> int:
    over = asyncio.ensure_future(lifecycle.over())
    try:
        handler = make(context)
        _match(handler, birth)
        starting = asyncio.ensure_future(handler.start())
        await asyncio.wait({over, starting}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            return os.EX_OK  # told to end before it was ready
        starting.result()
    except Exception as error:  # noqa: BLE001 - the handler's code, whatever it raises
        context.log.failure("start_failed", error)
        lifecycle.link.bye("failed")
        return os.EX_TEMPFAIL if isinstance(error, OSError | MailError) else os.EX_SOFTWARE
    client = None
    if birth.stdio and not isinstance(handler, PipeReader):
        client = StdioClient()
        lifecycle.open_single(handler, client.socket)
    elif not over.done():  # an order to end may have come while it started
        lifecycle.open(handler)
        context.log.info("started", listeners=" ".join(it.name for it in birth.listeners))
    reason = await over
    stopping = asyncio.ensure_future(handler.stop())
    exhausted = asyncio.ensure_future(lifecycle.exhausted())
    await asyncio.wait({stopping, exhausted}, return_when=asyncio.FIRST_COMPLETED)
    if stopping.done():
        stopping.result()
    else:
        context.log.error("stop_late")
    lifecycle.link.last_words()
    if client is not None:
        client.finish()
    context.log.info("ended", reason=reason, served=lifecycle.served)
    return os.EX_OK


def _match(handler: Handler | PipeReader, birth: Birth) -> None:
    """Refuse a row whose listeners the daemon cannot serve."""
    reads_pipes = isinstance(handler, PipeReader)
    for listener in birth.listeners:
        if listener.is_pipe != reads_pipes:
            raise OSError(f"this daemon cannot serve {listener.name}")
    if birth.stdio and reads_pipes:
        raise OSError("this daemon has no clients: --stdio means nothing to it")
