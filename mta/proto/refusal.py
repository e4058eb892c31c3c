"""The reason that a route of the transports `error` and `retry` gives: text to a status.

5.1.6 the department has moved      550, the mail is returned
4.3.2 the server is being repaired  450, the mail waits
no such host                        as the code that stands for those without one
"""

import re
from typing import Final

from mta.proto.status import Status

__all__ = ["parse_refusal"]

_UNSAID: Final = "undeliverable"
# RFC 3463, 2: class "." subject "." detail; 2 means success, which a refusal cannot mean.
_CODE: Final = re.compile(r"([45]\.\d{1,3}\.\d{1,3})(?: +|\Z)", re.ASCII)
_REPLIES: Final = {"4": 450, "5": 550}


def parse_refusal(reason: str, default: str) -> Status:
    """The status that a reason means; `default` is the enhanced code where it names none."""
    found = _CODE.match(reason)
    enhanced = found[1] if found else default
    text = reason[found.end() :] if found else reason
    return Status(_REPLIES[enhanced[0]], enhanced, text.strip() or _UNSAID)
