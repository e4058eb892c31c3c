"""`mta trace` on a real system's log."""

import json

from support.instance import DOMAIN, Instance

MESSAGE = b"Subject: hello\r\n\r\nHow are you?\r\n"
WAY = ["connect", "accepted", "committed", "active", "delivery", "removed", "disconnect"]


def test_one_message_of_two(shared_instance: Instance) -> None:
    ids = []
    for user in ("bob", "carol"):
        with shared_instance.smtp() as client:
            client.greeted()
            reply = client.mail("alice@client.test", [f"{user}@{DOMAIN}"], MESSAGE)
            client.say("QUIT", 221)
            client.expect_end()
        ids.append(reply.lines[0].rpartition(" ")[2])
    for queue_id in ids:
        shared_instance.wait_log("removed", queue_id=queue_id)
    records = json.loads(shared_instance.mta("trace", "--json", ids[0]).stdout)
    assert sorted(record["event"] for record in records) == sorted(WAY)
    assert {record.get("queue_id", ids[0]) for record in records} == {ids[0]}
    times = [record["time"] for record in records]
    assert times == sorted(times)
    told = shared_instance.mta("trace", ids[0]).stdout.splitlines()
    assert len(told) == 1 + len(WAY)
    assert f"status=sent to=bob@{DOMAIN}" in "\n".join(told)
