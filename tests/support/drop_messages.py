"""A host that leaves messages in the maildrop: run as a process of its own, it says what it left.

python drop_messages.py FOLDER HOST BOOT_ID FIRST COUNT [UID]

Each line of its output is the mark of a message, written when sendmail would have ended with 0.
"""

import os
import sys
from pathlib import Path

from mta.queue import maildrop_writer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.load import message
from support.maildrop import drop


def main() -> None:
    folder, host, boot, first, count, *user = sys.argv[1:]
    maildrop_writer._BOOT_ID = boot  # type: ignore[misc]
    if user:
        os.setgroups([])
        os.setgid(int(user[0]))
        os.setuid(int(user[0]))
    for number in range(int(first), int(first) + int(count)):
        mark = f"{host}-{number}"
        drop(Path(folder), message(mark, 2000), host=host)
        print(mark, flush=True)


if __name__ == "__main__":
    main()
