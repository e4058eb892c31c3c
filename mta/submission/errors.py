"""How the classic programs fail: a line on stderr, and a status of sysexits.h."""

import os
from typing import Final

from mta.proto.status import Status

__all__ = ["SubmissionError", "unavailable"]

_SUBJECTS: Final = {"1": os.EX_NOUSER, "6": os.EX_DATAERR, "7": os.EX_NOPERM}


class SubmissionError(Exception):
    """The message is not on its way; the text is for the caller, `status` his exit status."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status

    @classmethod
    def refused(cls, status: Status) -> "SubmissionError":
        """As a reply of the mail system: 4xx is worth another attempt."""
        if not status.is_permanent:
            return cls(str(status), os.EX_TEMPFAIL)
        # RFC 3463: the subject is the second number.
        subject = status.enhanced.split(".")[1]
        return cls(str(status), _SUBJECTS.get(subject, os.EX_UNAVAILABLE))


def unavailable(text: str) -> SubmissionError:
    """Nothing is known to be wrong with the message: try again later."""
    return SubmissionError(text, os.EX_TEMPFAIL)
