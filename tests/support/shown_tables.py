"""The tables that a page shows, laid out in a folder in place of /etc/posthouse.

# /etc/posthouse/NAME       the first line of a block: it is that file
-- /etc/posthouse/NAME      a database, and the statements that make it
cdb:/etc/posthouse/NAME     named anywhere: that file is compiled
"""

import contextlib
import re
import sqlite3
from pathlib import Path
from typing import Final

from mta.lookup.source import read_source
from support.constant_tables import write_table
from support.documents import blocks

__all__ = ["PLACE", "lay_out"]

PLACE: Final = "/etc/posthouse/"
_SHOWN: Final = re.compile(rf"(#|--) {PLACE}(\S+)\n")
_COMPILED: Final = re.compile(rf"cdb:{PLACE}([\w.-]+)")


def lay_out(page: str, text: str, folder: Path) -> str:
    """Make the files; the page as if they were at their places in the folder.

    A page that shows none is as it was.
    """
    shown = [(match, block) for block in blocks(page, text) if (match := _SHOWN.match(block.text))]
    if not shown:
        return text
    for match, block in shown:
        path = folder / match[2]
        if match[1] == "#":
            path.write_text(block.text.replace(PLACE, f"{folder}/"))
            continue
        path.unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.executescript(block.text)
    for name in set(_COMPILED.findall(text)):
        # Not compile_table: who reads the page may play another user.
        with (folder / name).open("rb") as source:
            entries = [(entry.key, entry.value) for entry in read_source(source, name)]
        write_table(folder / f"{name}.cdb", entries)
    return text.replace(PLACE, f"{folder}/")
