"""What supervisord.conf can hold, and how a value is written so that it means itself.

Supervisor reads the file with configparser and then expands `%(name)s`, log file names of programs
even twice; a blank and then `;` or `#` begin a comment, and no quoting can prevent that. So percent
signs are doubled, and what cannot be written is refused.
"""

import re
import shlex
from typing import Final

from mta.config.errors import ConfigError
from mta.config.problems import Place, Problem, quoted

__all__ = ["UNWRITABLE", "command_line", "is_writable", "literal"]

CONF: Final = "supervisord.conf"
UNWRITABLE: Final = (
    'text without control characters, "%(", or a blank at an end or before ";" or "#" '
    "(supervisord.conf cannot hold those)"
)
_UNWRITABLE: Final = re.compile(r"[\x00-\x1f\x7f]|\s[;#]|\A\s|\s\Z|%\(")


def is_writable(text: str) -> bool:
    """Whether the value can be written at all."""
    return not _UNWRITABLE.search(text)


def literal(text: str, expansions: int = 1) -> str:
    """A value that means itself after that many expansions; ConfigError if there is none."""
    if not is_writable(text):
        raise ConfigError([Problem(Place(CONF), "", UNWRITABLE, quoted(text))])
    return text.replace("%", "%" * 2**expansions)


def command_line(arguments: tuple[str, ...]) -> str:
    """A command line that Supervisor splits, as a shell would, into these arguments."""
    return literal(shlex.join(arguments))
