"""What a sender is told: reports in a mailbox, as a mail program and RFC 3464 read them."""

import email
import email.policy
from email.message import EmailMessage, Message
from typing import cast

import pytest
from support.instance import Instance, NewInstance
from support.waiting import wait_until

ALICE, BOB = "alice@posthouse.test", "bob@elsewhere.test"
MESSAGE = b"Subject: hello\r\nX-Mark: 7\r\n\r\nHow are you?\r\n..dots\r\n"
REASON = "5.1.6 the department has moved"


def _refusing(new_instance: NewInstance, reason: str = REASON, **parameters: object) -> Instance:
    # Taken at the door, so that there is somebody to tell.
    routed = {"default_transport": f"error:{reason}", "smtpd_reject_unlisted_recipient": False}
    instance = new_instance({**routed, **parameters})
    instance.start()
    return instance


def _send(instance: Instance, sender: str, *recipients: str) -> str:
    with instance.smtp() as client:
        reply = client.greeted().mail(sender, list(recipients), MESSAGE)
    return reply.text.split()[-1]


def _report(instance: Instance, user: str) -> tuple[EmailMessage, list[Message], bytes]:
    """The report in the mailbox: itself, the groups of its status part, what it returns."""
    octets = instance.maildir(user).only().octets
    report = email.message_from_bytes(octets, policy=email.policy.default)
    assert isinstance(report, EmailMessage)
    assert report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "delivery-status"
    text, status, original = report.iter_parts()
    assert text.get_content_type() == "text/plain"
    assert status.get_content_type() == "message/delivery-status"
    groups = cast("list[Message]", status.get_payload())
    returned = original.get_payload(0) if original.is_multipart() else original
    assert isinstance(returned, Message)
    return report, groups, returned.as_bytes(policy=email.policy.SMTP)


def test_a_sender_is_told_of_a_failure(new_instance: NewInstance) -> None:
    instance = _refusing(new_instance)
    queue_id = _send(instance, ALICE, BOB)
    report, (whole, recipient), returned = _report(instance, "alice")
    assert report["To"] == f"<{ALICE}>" or report["To"] == ALICE
    assert report["Auto-Submitted"] == "auto-replied"
    assert report["Return-Path"] == "<>"
    assert report["Date"]
    assert report["Message-ID"]
    assert whole["Reporting-MTA"] == "dns; posthouse.test"
    assert whole["X-Posthouse-Queue-ID"] == queue_id
    assert whole["Arrival-Date"]
    assert recipient["Final-Recipient"] == f"rfc822; {BOB}"
    assert recipient["Action"] == "failed"
    assert recipient["Status"] == "5.1.6"
    assert "the department has moved" in str(recipient["Diagnostic-Code"])
    assert recipient["Last-Attempt-Date"]
    assert returned.endswith(MESSAGE)
    instance.wait_log("removed", queue_id=queue_id)
    # The report is in its mailbox a moment before its own file goes.
    wait_until(lambda: not instance.messages(), "an empty queue")


def test_only_what_failed_is_told_and_only_once(new_instance: NewInstance) -> None:
    """One recipient has the message, another is refused: the report names that one."""
    instance = _refusing(new_instance)
    _send(instance, ALICE, BOB, "carol@posthouse.test", "dave@elsewhere.test")
    _, (_, *recipients), _ = _report(instance, "alice")
    assert {str(each["Final-Recipient"]) for each in recipients} == {
        f"rfc822; {BOB}",
        "rfc822; dave@elsewhere.test",
    }
    instance.maildir("carol").only()


def test_a_failure_without_sender_is_told_to_the_postmaster(new_instance: NewInstance) -> None:
    instance = _refusing(new_instance)
    _send(instance, "", BOB)
    report, (_, recipient), _ = _report(instance, "postmaster")
    assert str(report["Subject"]).startswith("Postmaster Copy")
    assert report["Return-Path"] == "<double-bounce@posthouse.test>"
    assert recipient["Action"] == "failed"


def test_the_last_failure_is_held_for_an_operator(new_instance: NewInstance) -> None:
    """A notice that cannot be delivered: nobody is left to tell, and nothing is lost."""
    instance = _refusing(new_instance, double_bounce_recipient="nobody@elsewhere.test")
    _send(instance, "", BOB)
    held = instance.wait_log("held")
    (path,) = instance.messages("hold")
    assert path.name == held["queue_id"]
    assert not instance.messages("incoming", "deferred")


def test_a_sender_is_told_once_of_a_delay(new_instance: NewInstance) -> None:
    instance = _refusing(
        new_instance,
        "4.3.2 the server is being repaired",
        delay_warning_time="1s",
        minimal_backoff_time="0.5s",
        maximal_backoff_time="0.5s",
    )
    queue_id = _send(instance, ALICE, BOB)
    instance.wait_log("reported", kind="delayed", queue_id=queue_id)
    attempts = len(instance.log_records("active", queue_id=queue_id))
    _, (_, recipient), _ = _report(instance, "alice")
    assert recipient["Action"] == "delayed"
    assert recipient["Status"] == "4.3.2"
    assert recipient["Will-Retry-Until"]
    # Two more attempts bring no second warning.
    instance.wait_log("deferred", queue_id=queue_id, attempts=attempts + 2)
    assert len(instance.log_records("reported", queue_id=queue_id)) == 1
    assert len(instance.messages("deferred")) == 1


def test_a_message_that_grew_too_old_is_returned(new_instance: NewInstance) -> None:
    instance = _refusing(
        new_instance,
        "4.4.1 no route",
        maximal_queue_lifetime="1s",
        minimal_backoff_time="0.5s",
        maximal_backoff_time="0.5s",
    )
    _send(instance, ALICE, BOB)
    _, (_, recipient), returned = _report(instance, "alice")
    assert recipient["Status"] == "5.4.7"
    assert "no route" in str(recipient["Diagnostic-Code"])
    assert returned.endswith(MESSAGE)


def test_soft_bounce_defers_what_would_bounce(new_instance: NewInstance) -> None:
    instance = _refusing(new_instance, soft_bounce=True)
    queue_id = _send(instance, ALICE, BOB)
    deferred = instance.wait_log("deferred", queue_id=queue_id)
    assert "4.1.6" in str(deferred["reason"])
    assert instance.messages("deferred")
    assert not instance.maildir("alice").path.exists()
    with instance.smtp() as client:
        client.greeted()
        client.say("MAIL FROM:<not an address>", 401)
        client.say("BURL", 402)


@pytest.mark.parametrize("size", [10_000, 200_000])
def test_of_a_large_message_the_header_is_returned(new_instance: NewInstance, size: int) -> None:
    instance = _refusing(new_instance)
    body = b"x" * 70 + b"\r\n"
    large = MESSAGE + body * (size // len(body))
    with instance.smtp() as client:
        client.greeted().mail(ALICE, [BOB], large)
    _, _, returned = _report(instance, "alice")
    assert b"X-Mark: 7" in returned
    assert (body in returned) == (size < 50_000)
