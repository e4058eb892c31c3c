"""Reports are read back as another site's software would: with the standard library's parser."""

import email
import email.policy
import email.utils
import re
from collections.abc import Iterable
from email.message import Message

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from mta.proto.dsn import DeliveryReport, Notification, RecipientStatus, Returned
from mta.proto.status import ReportKind, Status

REPORT_ID = "0bnZCRzhWN1zf8nQsm6vmV"
ARRIVED = 1_700_000_000.0
NOTE = Notification(
    kind=ReportKind.FAILURE,
    report_id=REPORT_ID,
    hostname="mx.example",
    to="alice@example.org",
    to_postmaster=False,
    queue_id="0bnZCRzhWN1zf8nQsm6vmX",
    sender="Alice@example.org",
    arrived=ARRIVED,
    lifetime=5 * 86400.0,
    offset=3600,
)
DELAY = replace(NOTE, kind=ReportKind.DELAY)
SAID = "host mx.test[192.0.2.1] said: 550 5.1.1 <bob@x.test>: unknown (in reply to RCPT TO command)"
BOB = RecipientStatus(
    "bob@x.test", "bob@x.test", Status(550, "5.1.1", SAID), "mx.test[192.0.2.1]:25", ARRIVED + 60
)
ANN = RecipientStatus(
    "ann@x.test", "Ann@list.test", Status(452, "4.2.2", "mailbox full"), "virtual", None
)
MAIL = b"Received: us\r\nSubject: x\r\n\r\nbody\r\n"


def render(
    recipients: Iterable[RecipientStatus] = (BOB,),
    content: bytes = MAIL,
    *,
    note: Notification = NOTE,
    whole: bool = True,
    size_limit: int = 10_240_000,
    pieces: int = 7,
) -> bytes:
    def read() -> list[bytes]:
        return [content[start : start + pieces] for start in range(0, len(content), pieces)]

    report = DeliveryReport(note, list(recipients), Returned(read, whole), size_limit)
    assert report.body_8bit is not content.isascii()
    return b"".join(report.pieces())


def parts(report: bytes) -> list[Message]:
    modern = email.message_from_bytes(report, policy=email.policy.default)
    assert [part.get_content_maintype() for part in modern.iter_parts()][:2] == ["text", "message"]
    message = email.message_from_bytes(report, policy=email.policy.compat32)
    assert not message.defects
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    assert message.is_multipart()
    found = message.get_payload()
    assert isinstance(found, list)
    return [part for part in found if isinstance(part, Message)]


def fields(report: bytes) -> list[Message]:
    """The groups of fields: the message's, then one for each recipient."""
    payload = parts(report)[1].get_payload()
    assert isinstance(payload, list)
    groups = [group for group in payload if isinstance(group, Message)]
    assert all(not group.defects and not group.get_payload() for group in groups)
    return [group for group in groups if group.keys()]


def text(report: bytes) -> str:
    payload = parts(report)[0].get_payload()
    assert isinstance(payload, str)
    return payload


def returned(report: bytes) -> bytes:
    """The octets of the third part: found by hand, for a parser may change line ends."""
    found = re.search(rb'boundary="([^"]+)"', report)
    assert found is not None
    boundary = b"--" + found[1]
    pieces = report.split(b"\r\n" + boundary)
    assert len(pieces) == 5  # the header, three parts, the end
    assert pieces[-1] == b"--\r\n"
    return pieces[3].partition(b"\r\n\r\n")[2]


def unfolded(value: str | None) -> str:
    assert value is not None
    return re.sub(r"\r?\n([ \t])", r"\1", value)


# What a report looks like


@pytest.mark.parametrize(
    ("note", "subject"),
    [
        (NOTE, "Undelivered Mail Returned to Sender"),
        (DELAY, "Delayed Mail (still being retried)"),
        (replace(NOTE, to_postmaster=True), "Postmaster Copy: Undelivered Mail"),
    ],
)
def test_the_header_section(note: Notification, subject: str) -> None:
    message = email.message_from_bytes(render(note=note), policy=email.policy.compat32)
    assert message["From"] == "MAILER-DAEMON@mx.example (Mail Delivery System)"
    assert email.utils.parseaddr(message["From"])[1] == "MAILER-DAEMON@mx.example"
    assert message["To"] == "<alice@example.org>"
    assert message["Subject"] == subject
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["MIME-Version"] == "1.0"
    assert "Date" not in message  # that and Message-ID are cleanup's to add
    assert "Message-ID" not in message


def test_the_three_parts() -> None:
    types = [(part.get_content_type(), part["Content-Description"]) for part in parts(render())]
    assert types == [
        ("text/plain", "Notification"),
        ("message/delivery-status", "Delivery report"),
        ("message/rfc822", "Undelivered message"),
    ]
    third = parts(render(content=b"Subject: x\r\n", whole=False))[2]
    assert third.get_content_type() == "text/rfc822-headers"
    assert third["Content-Description"] == "Undelivered header"


def test_the_fields_of_the_message() -> None:
    assert fields(render())[0].items() == [
        ("Reporting-MTA", "dns; mx.example"),
        ("X-Posthouse-Queue-ID", "0bnZCRzhWN1zf8nQsm6vmX"),
        ("X-Posthouse-Sender", "rfc822; Alice@example.org"),
        ("Arrival-Date", "Tue, 14 Nov 2023 23:13:20 +0100"),
    ]
    assert "X-Posthouse-Sender" not in fields(render(note=replace(NOTE, sender="")))[0]


def test_the_fields_of_recipients() -> None:
    _, bob, ann = fields(render([BOB, ANN]))
    assert [(name, unfolded(value)) for name, value in bob.items()] == [
        ("Final-Recipient", "rfc822; bob@x.test"),
        ("Action", "failed"),
        ("Status", "5.1.1"),
        ("Remote-MTA", "dns; mx.test"),
        ("Diagnostic-Code", "smtp; 550 5.1.1 <bob@x.test>: unknown"),
        ("Last-Attempt-Date", "Tue, 14 Nov 2023 23:14:20 +0100"),
    ]
    assert ann.items() == [
        ("Original-Recipient", "rfc822;Ann@list.test"),
        ("Final-Recipient", "rfc822; ann@x.test"),
        ("Action", "failed"),
        ("Status", "4.2.2"),
        ("Diagnostic-Code", "x-posthouse; mailbox full"),
    ]


def test_a_delay_says_until_when_it_is_tried() -> None:
    _, ann = fields(render([ANN], note=DELAY))
    assert ann["Action"] == "delayed"
    assert ann["Will-Retry-Until"] == "Sun, 19 Nov 2023 23:13:20 +0100"
    assert "Will-Retry-Until" not in fields(render([ANN]))[1]


@pytest.mark.parametrize(
    ("relay", "remote"),
    [
        ("mx.test[192.0.2.1]:25", "dns; mx.test"),
        ("mx.test[2001:db8::1]:587", "dns; mx.test"),
        ("none", None),
        ("virtual", None),
        ("localhost[/run/dovecot/lmtp]", None),
        ("[192.0.2.1]:25", None),
        ("a b[192.0.2.1]:25", None),
        ("mx.test[192.0.2.1]:25\r\nAction: delivered", None),
        ("", None),
    ],
)
def test_only_a_remote_host_is_one(relay: str, remote: str | None) -> None:
    assert fields(render([replace(BOB, relay=relay)]))[1]["Remote-MTA"] == remote


@pytest.mark.parametrize(
    ("words", "diagnostic"),
    [
        ("host a[192.0.2.1] said: 550 no (in reply to MAIL FROM command)", "smtp; 550 no"),
        ("host a[192.0.2.1] said: 550 no (spam)", "smtp; 550 no (spam)"),
        ("host a[/run/x] said: 451", "smtp; 451"),
        ("host a[192.0.2.1] said: 550-a 550 b", "smtp; 550-a 550 b"),
        ("host a[192.0.2.1] said: nonsense", None),
        ("host a[192.0.2.1] said: 5500 x", None),
        ("connect to a[192.0.2.1]:25: Connection refused", None),
        ("he said: 550 no", None),
    ],
)
def test_a_diagnostic_is_the_peers_reply_or_our_own_words(
    words: str, diagnostic: str | None
) -> None:
    found = fields(render([replace(BOB, status=Status(550, "5.0.0", words))]))[1]
    assert unfolded(found["Diagnostic-Code"]) == (diagnostic or f"x-posthouse; {words}")


def test_people_are_told_the_address_and_the_reason() -> None:
    report = text(render([BOB, ANN]))
    assert report.startswith("This is the mail system at host mx.example.\r\n")
    folded = re.sub(r"\s+", " ", report)
    assert f"<bob@x.test>: {SAID}" in folded
    assert "<ann@x.test> (given as <Ann@list.test>): mailbox full" in folded
    assert max(map(len, report.splitlines())) <= 78


@pytest.mark.parametrize(
    ("lifetime", "words"),
    [
        (5 * 86400, "5 days"),
        (86400, "1 day"),
        (1.5 * 86400, "36 hours"),
        (3600, "1 hour"),
        (600, "10 minutes"),
        (0, "0 seconds"),
    ],
)
def test_a_delay_asks_for_nothing(lifetime: float, words: str) -> None:
    report = text(render(note=replace(DELAY, lifetime=lifetime)))
    assert "YOU DO NOT NEED TO RESEND YOUR MESSAGE" in report
    assert f"until it\r\nis {words} old" in report
    assert "RESEND" not in text(render())


@pytest.mark.parametrize(
    ("content", "encoding"), [(MAIL, "7bit"), (b"Subject: \xe4\r\n\r\n\xc3\xa4\r\n", "8bit")]
)
def test_the_encoding_is_that_of_the_content(content: bytes, encoding: str) -> None:
    """RFC 2046, 5.2.1: message parts are never encoded; RFC 2045, 6.4: the whole says so too."""
    report = render(content=content)
    first, second, third = parts(report)
    assert (first["Content-Transfer-Encoding"], third["Content-Transfer-Encoding"]) == (
        "7bit",
        encoding,
    )
    assert second["Content-Transfer-Encoding"] == "7bit"
    whole = email.message_from_bytes(report)["Content-Transfer-Encoding"]
    assert whole == (None if encoding == "7bit" else "8bit")


# Very much of it


def test_many_recipients_are_all_named_to_programs_and_the_first_to_people() -> None:
    many = [replace(BOB, address=f"user{number}@x.test") for number in range(5000)]
    report = render(many)
    assert len(fields(report)) == 1 + 5000
    assert text(report).count("\r\n<user") == 100
    assert text(report).endswith(
        "... and 4900 more; the attached delivery report\r\nnames all of them.\r\n"
    )


@pytest.mark.parametrize("size_limit", [16384, 100_000, 1_000_000])
def test_a_report_fits_its_limit(size_limit: int) -> None:
    long = Status(550, "5.0.0", "word " * 100)
    many = [RecipientStatus(f"{n}@x.test", "b" * 300, long, "none", 0.0) for n in range(2000)]
    content = MAIL + b"x" * (size_limit // 2 - len(MAIL))
    report = render(many, content, size_limit=size_limit, pieces=4096)
    assert len(report) <= size_limit
    named = len(fields(report)) - 1
    assert named >= 3
    assert f"names {named} in all." in text(report)


# Hostile content


@pytest.mark.parametrize("pieces", [1, 2, 25, 1000])
def test_the_boundary_is_nowhere_in_the_content(pieces: int) -> None:
    hostile = b"A: b\r\n\r\n" + b"".join(
        f"\r\n--{REPORT_ID}.{number}--\r\n".encode() for number in (0, 1, 2, 4)
    )
    report = render(content=hostile, pieces=pieces)
    assert email.message_from_bytes(report).get_boundary() == f"{REPORT_ID}.3"
    assert returned(report) == hostile


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=512)
HOSTILE = TEXTS | st.sampled_from(
    [
        f"x\r\n--{REPORT_ID}.0\r\nAction: delivered\r\n\r\n",
        "x\r\n\r\nFinal-Recipient: rfc822; mallory@x.test",
        "\u2028\x85\x0b\x0c\x1c\x1d\x1eAction: delivered",
        "\U0001f600" * 512,
        "x" * 512,
        " " * 512,
        "a " * 256,
        "-" * 300,
    ]
)


@given(address=HOSTILE, original=HOSTILE, said=HOSTILE, relay=HOSTILE, to=HOSTILE)
@example(address="", original="", said="", relay="", to="")
def test_no_text_breaks_a_field_or_a_part(
    address: str, original: str, said: str, relay: str, to: str
) -> None:
    hostile = RecipientStatus(address, original, Status(550, "5.0.0", said), relay, ARRIVED)
    report = render([hostile, BOB], note=replace(NOTE, to=to, sender=address))
    assert report.isascii()
    assert max(map(len, report.split(b"\r\n"))) <= 998
    assert not re.search(rb"[^ -~\t]", report.replace(b"\r\n", b""))
    message = email.message_from_bytes(report)
    assert message.keys() == [
        "From",
        "To",
        "Subject",
        "Auto-Submitted",
        "MIME-Version",
        "Content-Type",
    ]
    assert len(parts(report)) == 3
    _, first, second = fields(report)
    assert (first["Action"], first["Status"]) == ("failed", "5.0.0")
    assert set(first.keys()) - {"Original-Recipient", "Remote-MTA"} == {
        "Final-Recipient",
        "Action",
        "Status",
        "Diagnostic-Code",
        "Last-Attempt-Date",
    }
    assert second["Final-Recipient"] == "rfc822; bob@x.test"
    assert returned(report) == MAIL


WORDS = st.lists(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1), max_size=9
)


@given(WORDS)
def test_folding_changes_no_word(words: list[str]) -> None:
    said = " ".join(words)
    (_, group) = fields(render([replace(BOB, status=Status(550, "5.0.0", said))]))
    if not said.startswith("host "):
        assert unfolded(group["Diagnostic-Code"]) == f"x-posthouse; {said or '5.0.0'}"


LINES = st.sampled_from(
    [
        b"A: b\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n",
        b"Content-Type: message/rfc822\r\n",
        b"\r\n",
        b"--b\r\n",
        b"--b--\r\n",
        f"--{REPORT_ID}.0--\r\n".encode(),
        f"\n--{REPORT_ID}.0\n".encode(),
        f"--{REPORT_ID}.1\r\n".encode(),
        b"body \xe4\n",
        b"\r",
        b"\x00",
    ]
)


@given(st.binary() | st.lists(LINES).map(b"".join), st.booleans(), st.integers(1, 40))
def test_any_octets_come_back_as_they_were(content: bytes, whole: bool, pieces: int) -> None:
    report = render(content=content, whole=whole, pieces=pieces)
    assert returned(report) == content
    found = parts(report)
    assert [part.get_content_type() for part in found] == [
        "text/plain",
        "message/delivery-status",
        "message/rfc822" if whole else "text/rfc822-headers",
    ]
    assert len(fields(report)) == 2
