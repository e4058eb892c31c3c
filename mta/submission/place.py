"""Where the system lies that a message is for, and what a program must know of it: found quickly.

The queue directory is what main.yml says. YAML takes longer to import than all else here, so that
the one line is looked for first; where main.yml has it in another form, YAML reads it after all.
What counts is the generation that was rendered last.
"""

import os
import re
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from mta.submission.errors import SubmissionError

__all__ = ["Place", "Terms", "find_place"]

_DEFAULT_DIRECTORY: Final = "/etc/posthouse"
_VARIABLE: Final = "MTA_CONFIG"
_MAIN: Final = "main.yml"
_MAIN_LIMIT: Final = 1 << 20  # octets
_SNAPSHOT_LIMIT: Final = 4 << 20  # octets
# A plain or quoted scalar that means the same in each of the forms.
_LINE: Final = re.compile(
    rb"^queue_directory[ \t]*:[ \t]+(['\"]?)(/[A-Za-z0-9_./-]*)\1[ \t]*(?:#.*)?\r?$", re.MULTILINE
)
_KEY: Final = re.compile(rb"queue_directory")
_GENERATION: Final = re.compile(r"([1-9][0-9]{0,8})\.json", re.ASCII)
_ATTEMPTS: Final = 3  # a generation may be pruned while it is looked at


class Terms(Struct, frozen=True):
    """The parameters that count here; see mta.config.parameters."""

    myhostname: Annotated[str, Meta(min_length=1, max_length=255)]
    message_size_limit: int  # octets
    header_size_limit: int  # octets
    sendmail_timeout: float  # seconds
    maildrop_directory: str = ""
    alias_database: tuple[str, ...] = ()


class Place(Struct, frozen=True):
    """One system."""

    config: str  # the folder of main.yml
    queue_directory: str
    terms: Terms

    @property
    def maildrop(self) -> str:
        """The folder for messages that nobody takes at once."""
        return self.terms.maildrop_directory or os.path.join(self.queue_directory, "maildrop")


class _Snapshot(Struct, frozen=True):
    parameters: Terms


def find_place(config: str) -> Place:
    """The system that a folder, or a file in there, configures; SubmissionError if it is none.

    If it is empty, that of $MTA_CONFIG, else that of this host.
    """
    directory = os.path.abspath(config or os.environ.get(_VARIABLE) or _DEFAULT_DIRECTORY)
    if not os.path.isdir(directory):
        directory = os.path.dirname(directory)
    try:
        queue_directory = _queue_directory(directory)
        return Place(directory, queue_directory, _latest(os.path.join(queue_directory, "config")))
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise SubmissionError(f"no configuration: {error}", os.EX_CONFIG) from error


def _queue_directory(directory: str) -> str:
    with open(os.path.join(directory, _MAIN), "rb") as file:
        text = file.read(_MAIN_LIMIT)
    found = _LINE.search(text)
    if found is not None and len(_KEY.findall(text)) == 1:
        return found[2].decode("ascii")
    # Takes its time, and is seldom needed.
    from mta.config.errors import ConfigError  # noqa: PLC0415
    from mta.config.places import find_queue_directory  # noqa: PLC0415

    try:
        return find_queue_directory(directory)
    except ConfigError as error:
        raise ValueError(str(error)) from error


def _latest(folder: str) -> Terms:
    for attempt in range(_ATTEMPTS):
        matches = map(_GENERATION.fullmatch, os.listdir(folder))
        numbers = [int(found[1]) for found in matches if found]
        if not numbers:
            break
        try:
            with open(os.path.join(folder, f"{max(numbers)}.json"), "rb") as file:
                data = file.read(_SNAPSHOT_LIMIT)
            return msgspec.json.decode(data, type=_Snapshot).parameters
        except FileNotFoundError:
            if attempt + 1 == _ATTEMPTS:
                raise
    raise ValueError(f"{folder}: nothing there; run `mta render`")
