"""The daemon that writes the mail log.

NAME
    log - carry lines from the daemons' pipe to the log file

DESCRIPTION
    All daemons write JSON lines into one pipe, whose reading end this daemon is given. A read takes
    all that the pipe holds, so it ends with a whole line. The lines are appended to log_file, which
    is opened again when it was renamed or removed (looked at once a second at most) and on wake.
    With log_format: classic they are written as Postfix would write them (classic.py).

    While the file cannot be written nothing is read: the pipe fills, the daemons drop lines and
    count them, and each tells the count in its next line. So memory is bounded, nothing blocks, and
    no loss goes untold. The write is tried again every second.

SECURITY
    What comes out of the pipe is gossip. A line that is no flat JSON object, or is longer than a
    line may be, is replaced by a record of the event "garbage" that quotes its beginning. In the
    classic form no value can begin a line of its own.

DIAGNOSTICS
    log_blocked: the file cannot be written (on stderr too, as it cannot be in the file yet).
    log_resumed: it can again. log_lost: the process ended before it could (on stderr).

CONFIGURATION PARAMETERS
    log_file log_format syslog_name myhostname
"""

from typing import Final

from mta.daemons.log.handler import LogHandler
from mta.master.daemon import Needs, run

__all__ = ["NEEDS"]

NEEDS: Final = Needs(write=("$log_file/..",))

if __name__ == "__main__":
    run(needs=NEEDS, handler=LogHandler)
