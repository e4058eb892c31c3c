"""A file replaced whole: who reads it sees the old content or the new one, after a crash too."""

import contextlib
import os

__all__ = ["replace_file"]


def replace_file(
    folder: int, name: str, data: bytes, mode: int, owner: tuple[int, int] | None = None
) -> None:
    """Give `name` in the open folder this content, on stable storage when the call returns.

    `owner` is a user's and a group's id. OSError: the old file is as it was. A crash may leave a
    file `.NAME.new`, which the next call replaces.
    """
    temporary = f".{name}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(temporary, flags, mode & 0o600, dir_fd=folder)
    try:
        with open(descriptor, "wb") as file:
            found = os.fstat(descriptor)
            if owner is not None and owner != (found.st_uid, found.st_gid):
                os.fchown(descriptor, *owner)
            os.fchmod(descriptor, mode)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(OSError):  # what went wrong first is to be told
            os.unlink(temporary, dir_fd=folder)
        raise
    os.fsync(folder)
