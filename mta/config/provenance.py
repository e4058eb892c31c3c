"""Where a generation comes from: the files as they were read, and the place of every value.

`config/N.origin.json` lies beside the generation that it tells of. Daemons and the master never
load it: they need values, and comments may say what is not for them, so it is its owner's alone.
What comes out of the file is gossip, like all that comes off a disk.
"""

import os
import stat
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from mta.config.errors import SnapshotError

__all__ = ["ORIGIN_MODE", "Files", "Provenance", "load_provenance", "origin_name"]

ORIGIN_MODE: Final = 0o600  # the operator's files may be less open than a generation

# Two texts as JSON has them, at worst six octets for one, and the places of all that they set.
_SIZE_LIMIT: Final = 32 * 1024 * 1024

# 1 MiB is what mta.config.source reads of a file.
_Text = Annotated[str, Meta(max_length=1024 * 1024)]
_Name = Annotated[str, Meta(max_length=1024, pattern=r"\A[\x20-\x7e]+\Z")]
_Path = Annotated[str, Meta(max_length=4096, pattern=r"\A/[^\x00]*\Z")]


class Files(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename={"main": "main.yml", "services": "services.yml"},
):
    """The texts that an operator wrote, octet for octet (UTF-8)."""

    main: _Text
    services: _Text

    def by_name(self) -> dict[str, str]:
        """The texts by the names of their files."""
        return {"main.yml": self.main, "services.yml": self.services}

    def differing(self, other: "Files | None") -> tuple[str, ...]:
        """The names of the files whose texts are not the same; without `other`, of all."""
        others = other.by_name() if other is not None else {}
        return tuple(name for name, text in self.by_name().items() if others.get(name) != text)


class Provenance(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a generation was made from."""

    directory: _Path  # absolute: where the two files were
    release: _Name  # that compiled them
    files: Files
    # "main.NAME", "services.ROW", "services.ROW.KEY" or "services.ROW.settings.NAME" -> the place
    # ("main.yml:5:21") or "profile NAME"; what is not named is a default. A row that is switched
    # off has only "services.ROW.enabled".
    origins: dict[_Name, _Name]


def origin_name(generation: int) -> str:
    """The file's name in `config/`."""
    return f"{generation}.origin.json"


def load_provenance(generation: int, directory: str) -> Provenance:
    """Load what a generation was made from; SnapshotError names the file and what is wrong.

    PermissionError: it is another user's. `directory` is the folder of generations.
    """
    path = os.path.join(directory, origin_name(generation))
    try:
        # Not to wait for the writer of what turns out to be a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise SnapshotError(f"{path}: not a regular file")
            data = file.read(_SIZE_LIMIT + 1)
        if len(data) > _SIZE_LIMIT:
            raise SnapshotError(f"{path}: larger than {_SIZE_LIMIT} octets")
        return msgspec.json.decode(data, type=Provenance)
    except PermissionError:
        raise
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise SnapshotError(f"{path}: {error}") from error
