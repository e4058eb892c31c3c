"""What a record of strace means for the trees; what is not understood makes it void."""

from pathlib import Path

import pytest
from reliability.powercut.operations import (
    Acknowledge,
    Create,
    MakeFolder,
    Operation,
    Remove,
    Rename,
    SetMode,
    SyncFile,
    SyncFolder,
    Take,
    Timed,
    Write,
)
from reliability.powercut.trace import texts
from reliability.powercut.understand import understand

HOUSE = Path("/house")
QUEUE = f"<{texts('/house/queue')}>"
FILE = f"<{texts('/house/queue/incoming/F')}>"
SOCKET = f"<{texts('socket:[1]')}>"
PIPE = f"<{texts('pipe:[2]')}>"
OLD = texts("incoming/F")
PIECES = f'{{iov_base="{texts("ab")}", iov_len=2}}, {{iov_base="{texts(")<")}", iov_len=2}}'
REPLIES = texts("250 2.1.5 Ok\r\n250 2.0.0 Ok: queued as XYZ\r\n")
TAKEN = texts(
    '{"service":"outbound","event":"delivery","queue_id":"Q","to":"a@b","status":"sent"}\n'
)
CREATED = (
    f'7  openat(3{QUEUE}, "{OLD}", O_WRONLY|O_CREAT|O_EXCL, 0600) = 5{FILE}',
    Create(0, "queue/incoming/F", 0o600),
)


def understood(*lines: str) -> tuple[Timed, ...]:
    trees = ("queue/incoming", "queue/deferred", "mail")
    return understand(lines, HOUSE, trees, {*trees, "mail/x"}).operations


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f'7  write(5{FILE}, "{texts("abc")}", 3) = 3', Write(0, 0, b"abc")),
        (f'7  write(5{FILE}, "{texts("abc")}", 3) = 2', Write(0, 0, b"ab")),  # a short write
        (
            f"7  writev(5{FILE}, [{PIECES}], 2) = 4",
            Write(0, 0, b"ab)<"),
        ),
        (f'7  pwrite64(5{FILE}, "{texts("head")}", 4, 12) = 4', Write(0, 12, b"head")),
        (f'7  write(5{FILE}, "{texts("abc")}", 3) = -1 ENOSPC (No space left)', None),
        (f"7  fchmod(5{FILE}, 0700) = 0", SetMode(0, 0o700)),
        (f"7  fsync(5{FILE}) = 0", SyncFile(0)),
        (f"7  fsync(5{FILE}) = -1 EIO (Input/output error)", None),
        (f"7  fsync(5<{texts('/house/mail/x')}>) = 0", SyncFolder("mail/x")),
        (
            f'7  mkdirat(4<{texts("/house/mail/x")}>, "{texts("new")}", 0700) = 0',
            MakeFolder("mail/x/new", 0o700),
        ),
        (
            f'7  renameat(3{QUEUE}, "{OLD}", 3{QUEUE}, "{texts("deferred/F")}") = 0',
            Rename(0, "queue/deferred/F"),
        ),
        (f'7  unlinkat(3{QUEUE}, "{OLD}", 0) = 0', Remove(0)),
        (f'7  unlink("{OLD}") = 0', Remove(0)),  # of a process in the queue
        (f"7  close(5{FILE}) = 0", None),
        (f"7  fsync(5<{texts('/house/log/mail.log')}>) = 0", None),
        (
            f'7  write(9{SOCKET}, "{REPLIES}", 43 <unfinished ...>',
            Acknowledge("XYZ"),
        ),
        (
            f'7  write(9{PIPE}, "{TAKEN}", 80) = 80',
            Take("Q", "a@b"),
        ),
    ],
)
def test_a_call_is_an_operation(line: str, expected: Operation | None) -> None:
    first, *rest = understood(CREATED[0], line)
    assert first.operation == CREATED[1]
    assert [timed.operation for timed in rest] == ([expected] if expected else [])


def test_calls_overlap() -> None:
    created, synced, changed = understood(
        CREATED[0],
        f"7  fsync(5{FILE} <unfinished ...>",
        f"8  fchmod(5{FILE}, 0700) = 0",
        "9  --- SIGCHLD {si_signo=SIGCHLD} ---",
        "7  <... fsync resumed>) = 0",
        "9  +++ exited with 0 +++",
    )
    assert created.returned is not None
    assert changed.returned is not None
    assert synced.returned is not None
    assert created.returned < synced.entered < changed.entered < changed.returned < synced.returned


def test_a_call_without_a_return_may_have_had_its_effect() -> None:
    _, synced = understood(CREATED[0], f"7  fsync(5{FILE} <unfinished ...>")
    assert synced.operation == SyncFile(0)
    assert synced.returned is None


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (f"7  fallocate(5{FILE}, 0, 0, 4096) = 0", "unknown effect"),
        (f"7  ftruncate(5{FILE}, 0) = 0", "unknown effect"),
        (f"7  sendfile(5{FILE}, 6{FILE}, NULL, 100) = 100", "unknown effect"),
        (f"7  copy_file_range(5{FILE}, NULL, 6{FILE}, NULL, 9, 0) = 9", "unknown effect"),
        (f"7  lseek(5{FILE}, 10, SEEK_SET) = 10", "unknown effect"),
        (f"7  mmap(NULL, 9, PROT_WRITE, MAP_SHARED, 5{FILE}, 0) = 0x7f00", "unknown effect"),
        (f'7  openat(3{QUEUE}, "{OLD}", O_RDWR|O_TRUNC) = 6', "unknown effect"),
        (f'7  linkat(3{QUEUE}, "{OLD}", 3{QUEUE}, "", 0) = 0', "unknown effect"),
        (f'7  rename("{texts("/house/mail/x")}", "{texts("/house/mail/y")}") = 0', "nobody made"),
        (f'7  write(5{FILE}, "{texts("abc")}"..., 300) = 300', "cut short"),
        (CREATED[0], "a second file"),
        ("7  io_uring_setup(64, {flags=IORING_SETUP_SQPOLL}) = 9", "io_uring"),
        ("strace: what", "line 2"),
    ],
)
def test_what_is_not_understood_makes_the_recording_void(line: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        understood(CREATED[0], line)
