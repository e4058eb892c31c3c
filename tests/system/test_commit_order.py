"""The message is on stable storage before the client reads 250: the order of system calls."""

import itertools
import re
from pathlib import Path

import pytest
from support.instance import NewInstance
from support.load import message
from support.tracing import Trace

SENDS = "write,writev,sendto,sendmsg"


@pytest.mark.requires("strace")
@pytest.mark.parametrize("size", [0, 300_000], ids=["one frame", "streamed"])
def test_fsync_comes_before_250(new_instance: NewInstance, short_path: Path, size: int) -> None:
    instance = new_instance(services={"smtp": {"min_free": 1}, "cleanup": {"min_free": 1}})
    instance.start()
    (smtpd,) = instance.wait_ready("smtp")
    (cleanup,) = instance.wait_ready("cleanup")
    with (
        Trace(smtpd, short_path / "smtpd", SENDS) as answers,
        Trace(cleanup, short_path / "cleanup", f"{SENDS},fsync,fchmod,openat") as commits,
        instance.smtp() as client,
    ):
        reply = client.greeted().mail("a@b.example", ["bob@posthouse.test"], message("x", size))
        client.say("QUIT", 221)
        client.expect_end()
    queue_id = reply.text.split()[-1]
    file = re.escape(queue_id)
    created = commits.find(rf"openat\(.*{file}.*O_CREAT")
    written = commits.find(rf"(write|writev)\(.*{file}")
    sealed = commits.find(rf"fchmod\(.*{file}.*0700")
    synced = commits.find(rf"fsync\(.*{file}.* = 0")
    told = commits.find(rf"send(to|msg)\(.*{queue_id}")
    answered = answers.find(rf"250 2\.0\.0 .*{queue_id}")
    order = [created, written, sealed, synced, told]
    for earlier, later in itertools.pairwise(order):
        assert earlier.ended <= later.began, f"{later.text} came before {earlier.text}"
    assert told.began <= answered.began  # whoever is told may be faster than the return of the call
