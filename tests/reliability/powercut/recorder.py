"""A recording: a whole system, seen by strace, takes several clients' mail of all kinds.

What is left out of the record can only be a call that is known to change no file: all others are
seen, also those that nobody thought of. What they mean is found out afterwards (understand.py), and
the trees that the recorded run left on the disk judge whether that was right.
"""

import queue
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from support.smtp_peer import Action, Call
from support.waiting import wait_until

from reliability.powercut.letters import Letter, Mark, recognised
from reliability.powercut.machine import Machine

__all__ = ["Recorded", "record", "refusals"]

_CLIENTS: Final = 6
_PATIENCE: Final = 300.0  # seconds
# Now and then the disk takes long (microseconds): who waits for it is overtaken, most of all at the
# mailboxes that several deliveries make at once.
_SLOW: Final = "inject=fsync:delay_enter=30000:when=3+7"
# Calls that change no file, whatever their arguments. lseek and mmap are not among them.
_HARMLESS: Final = (
    "accept,accept4,access,arch_prctl,bind,brk,capget,clock_getres,clock_gettime,clock_nanosleep,"
    "connect,epoll_create1,epoll_ctl,epoll_pwait,epoll_pwait2,epoll_wait,eventfd2,exit,exit_group,"
    "faccessat,faccessat2,fadvise64,fgetxattr,flock,fstat,fstatfs,futex,getcwd,getdents64,getegid,"
    "geteuid,getgid,getgroups,getpeername,getpgrp,getpid,getppid,getrandom,getresgid,getresuid,"
    "getrlimit,getrusage,getsockname,getsockopt,gettid,gettimeofday,getuid,getxattr,kill,"
    "landlock_add_rule,landlock_create_ruleset,landlock_restrict_self,lgetxattr,listen,lstat,"
    "madvise,membarrier,mincore,mlock,mprotect,munmap,nanosleep,newfstatat,pause,pipe,pipe2,poll,"
    "ppoll,prctl,pread64,preadv,preadv2,prlimit64,pselect6,read,readlink,readlinkat,readv,recvfrom,"
    "recvmmsg,recvmsg,restart_syscall,rseq,rt_sigaction,rt_sigpending,rt_sigprocmask,"
    "rt_sigreturn,rt_sigsuspend,rt_sigtimedwait,sched_getaffinity,sched_getparam,"
    "sched_getscheduler,sched_yield,seccomp,select,sendmmsg,sendmsg,sendto,set_robust_list,"
    "set_tid_address,setgid,setgroups,setpgid,setpriority,setresgid,setresuid,setrlimit,setsid,"
    "setsockopt,setuid,shutdown,sigaltstack,socket,socketpair,stat,statfs,statx,sysinfo,tgkill,"
    "time,times,umask,uname,wait4,waitid"
)


@dataclass(frozen=True)
class Recorded:
    """What a run left: strace's record, and what its clients and its next host know of it."""

    folder: Path
    record: Path
    letters: Mapping[str, Letter]  # by mark
    acknowledged: Mapping[str, str]  # queue id to mark
    taken: Counter[tuple[str, str]]  # mark and recipient, by the next host
    folders: frozenset[str]  # of the trees, before; paths are relative to `folder`
    left: Mapping[str, bytes | None]  # what the trees hold afterwards: a file's octets
    modes: Mapping[str, int]


def refusals(letters: Mapping[str, Letter], *, at_first: bool) -> dict[str, Action]:
    """What the next host says to RCPT; `at_first`: it defers what is to come later."""
    answers: dict[str, Action] = {}
    for letter in letters.values():
        for recipient in letter.recipients:
            if recipient.startswith("gone"):
                answers[recipient] = "550 5.1.1 nobody of that name"
            elif recipient.startswith("later") and at_first:
                answers[recipient] = Call(_deferring())
    return answers


def record(folder: Path, record_file: Path, letters: Mapping[str, Letter]) -> Recorded:
    """Run a system in `folder`, which does not exist yet, until it has done with all letters."""
    with Machine(folder, refusals(letters, at_first=True)) as machine:
        style = ["-f", "--seccomp-bpf", "-qq", "-y", "-xx", "-s", "16777216"]
        folders = frozenset(_entries(machine))
        seen = ["-e", f"trace=!{_HARMLESS}", "-e", _SLOW]
        machine.power_on(["strace", *style, "-o", str(record_file), *seen, "--"])
        machine.wait_ready()
        acknowledged = _send(machine, letters)
        wait_until(lambda: not machine.instance.queue_files(), "an empty queue", _PATIENCE)
        machine.power_off()
        taken: Counter[tuple[str, str]] = Counter()
        for message in machine.peer.messages:
            copy = recognised(message.content)
            assert isinstance(copy, Mark), f"the next host got {message.content[:200]!r}"
            taken.update((copy.mark, recipient) for recipient in message.recipients)
        entries = _entries(machine)
        left = {
            name: path.read_bytes() if path.is_file() else None for name, path in entries.items()
        }
        modes = {name: path.stat().st_mode & 0o7777 for name, path in entries.items()}
    return Recorded(folder, record_file, letters, acknowledged, taken, folders, left, modes)


def _entries(machine: Machine) -> dict[str, Path]:
    """All that the trees hold, by its path relative to the machine's folder."""
    return {
        str(path.relative_to(machine.folder)): path
        for tree in machine.trees
        for path in (tree, *tree.rglob("*"))
    }


def _send(machine: Machine, letters: Mapping[str, Letter]) -> dict[str, str]:
    """Send all letters, several at once in about their order; queue id to mark."""
    waiting: queue.SimpleQueue[Letter | None] = queue.SimpleQueue()
    acknowledged: dict[str, str] = {}
    failures: list[BaseException] = []

    def client() -> None:
        try:
            with machine.instance.smtp(timeout=_PATIENCE) as session:
                session.greeted()
                while (letter := waiting.get()) is not None:
                    reply = session.mail(letter.sender, list(letter.recipients), letter.content)
                    acknowledged[reply.text.split()[-1]] = letter.mark
        except (OSError, EOFError, AssertionError) as error:
            failures.append(error)

    for letter in (*letters.values(), *[None] * _CLIENTS):
        waiting.put(letter)
    threads = [threading.Thread(target=client) for _ in range(_CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    return acknowledged


def _deferring() -> Callable[[], str]:
    """Refuse once, then accept."""
    answers = iter(("450 4.2.0 come again",))
    return lambda: next(answers, "250 2.1.5 recipient ok")
