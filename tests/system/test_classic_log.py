"""`log_format: classic`: a whole system's log, and the programs that read Postfix's."""

import re
import subprocess

import pytest
from support.instance import DOMAIN, Instance, NewInstance
from support.waiting import wait_until

MESSAGE = b"Message-ID: <1@client.test>\r\nSubject: hello\r\n\r\nHow are you?\r\n"
HEAD = re.compile(
    rf"[A-Z][a-z]{{2}} [ 1-3]\d \d\d:\d\d:\d\d {re.escape(DOMAIN)} (\w+/\w+)\[\d+\]: "
)


def lines_of(instance: Instance) -> list[str]:
    return instance.log_file.read_text().splitlines() if instance.log_file.exists() else []


def converse(instance: Instance) -> str:
    """Two messages and a refusal, until the log tells the end; the queue id of the first."""
    with instance.smtp() as client:
        reply = client.greeted().mail("alice@client.test", [f"bob@{DOMAIN}"], MESSAGE)
        recipients = [f"bob@{DOMAIN}", f"Carol@{DOMAIN}"]
        client.mail("", recipients, MESSAGE)
        client.say("MAIL FROM:<mallory@client.test>", 250)
        client.say("RCPT TO:<x@elsewhere.test>", 554)
        client.say("QUIT", 221)

    def ended() -> bool:
        text = instance.log_file.read_text() if instance.log_file.exists() else ""
        return text.count(": removed\n") == 2 and "disconnect from" in text

    wait_until(ended, "the end of both messages in the log")
    return reply.lines[0].rpartition(" ")[2]


@pytest.fixture
def classic(new_instance: NewInstance) -> Instance:
    made = new_instance({"log_format": "classic", "mynetworks": []})
    made.start()
    return made


def test_a_message_in_postfixs_words(classic: Instance) -> None:
    queue_id = converse(classic)
    lines = lines_of(classic)
    assert all(HEAD.match(line) for line in lines), lines
    told = sorted(HEAD.sub(r"\1: ", line) for line in lines if f" {queue_id}: " in line)
    delivery = told.pop()
    assert re.fullmatch(
        rf"posthouse/virtual: {queue_id}: to=<bob@{DOMAIN}>, relay=virtual, delay=[\d.]+, "
        r"dsn=2\.0\.0, status=sent \(delivered to maildir .*\)",
        delivery,
    )
    size = re.findall(r"size=(\d+)", "".join(told))[0]
    assert told == [
        f"posthouse/cleanup: {queue_id}: message-id=<1@client.test>",
        (
            f"posthouse/qmgr: {queue_id}: from=<alice@client.test>, size={size}, nrcpt=1 "
            "(queue active)"
        ),
        f"posthouse/qmgr: {queue_id}: removed",
        f"posthouse/smtpd: {queue_id}: client=unknown[127.0.0.1]",
    ]


def test_trace_finds_the_lines_of_a_message(classic: Instance) -> None:
    queue_id = converse(classic)
    told = classic.mta("trace", queue_id).stdout.splitlines()
    assert told == [line for line in lines_of(classic) if queue_id in line]


@pytest.mark.requires("pflogsumm")
def test_pflogsumm_counts_right(classic: Instance) -> None:
    converse(classic)
    options = ["--syslog-name=posthouse", "--zero-fill"]
    said = run("pflogsumm", *options, str(classic.log_file))
    counts = {
        word: count
        for count, word in re.findall(r"^ +(\d+k?)   ([a-z ]+[a-z])", said, re.MULTILINE)
    }
    expected = {"received": "2", "delivered": "3", "deferred": "0", "bounced": "0", "rejected": "1"}
    assert counts | expected == counts, said
    assert counts["recipients"] == "2"
    assert "Relay access denied (total: 1)" in said
    assert "\nWarnings: none\n" in said


@pytest.mark.requires("fail2ban-regex")
def test_fail2ban_finds_the_offender(new_instance: NewInstance) -> None:
    """Its filter insists on Postfix's name."""
    settings = {"log_format": "classic", "syslog_name": "postfix", "mynetworks": []}
    instance = new_instance(settings)
    instance.start()
    converse(instance)
    report = run(
        "fail2ban-regex",
        "--out",
        "ip",
        str(instance.log_file),
        "/etc/fail2ban/filter.d/postfix.conf",
    )
    assert report.split() == ["127.0.0.1"]


def run(*command: str) -> str:
    done = subprocess.run(
        command,
        env={"PATH": "/usr/sbin:/usr/bin:/bin", "LANG": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
