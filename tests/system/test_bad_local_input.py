"""What users and operators get wrong, and what becomes of mail: each line names Postfix's rule.

Nothing of it loops, stays undecided, or leaves a process behind. Where a line says "stricter" or
"kinder", Debian's Postfix does otherwise. Further bad input is judged where the daemons are tested:
quotas of a Maildir in test_virtual, files that a user wrote in test_mailuser, commands of pipe in
test_pipe; what Postfix makes of most of this, side by side, in test_postfix_local.
"""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.local_mail import HERE, LocalMail, local_mail
from support.processes import running
from support.waiting import wait_until

LIMIT = 20_000_000  # octets of a mailbox
LATE = "bounced 5.3.0 Command time limit exceeded"
AT_HOME = "sent 2.0.0 delivered to mailbox"


@dataclass(frozen=True)
class Bad:
    """A letter to a local part, what lies around, and how the last outcome begins.

    %ann% and %bob% are users, and homes as the first part of a path; %base% is the folder of all.
    """

    to: str
    expected: str
    rule: str
    aliases: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    modes: Mapping[str, int] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)  # further ones of a file
    sizes: Mapping[str, int] = field(default_factory=dict)
    outcomes: int = 1
    whose: str = ""  # that outcome, where it is not the recipient's
    event: str = ""  # in the log


CASES = {
    "aliases in circles": Bad(
        "chicken",
        "bounced 5.4.6 alias database loop for ",
        "local(8): mail forwarding loops are stopped; 100 aliases deep",
        "chicken: egg\negg: chicken",
    ),
    "an alias of itself": Bad(
        "ouroboros",
        "bounced 5.1.1 unknown user",
        "aliases(5): a name that its own expansion names is the user of that name",
        "ouroboros: ouroboros",
    ),
    "a list that holds itself": Bad(
        "trip",
        "bounced 5.4.6 mail forwarding loop for trip@",
        "local(8): the second time around, Delivered-To tells",
        "trip: :include:%base%/open/trip",
        {"open/trip": "trip\n"},
        outcomes=2,
    ),
    "a list that is missing": Bad(
        "absent",
        "bounced 5.3.5 an :include: file cannot be read",
        "aliases(5), as Postfix does",
        "absent: :include:%base%/open/none",
    ),
    "a list that all may write": Bad(
        "loose",
        "bounced 5.3.5 an :include: file cannot be read",
        "stricter: Postfix reads it, and whoever wrote it chooses the recipients",
        "loose: :include:%base%/open/list",
        {"open/list": "%ann%\n"},
        {"open/list": 0o666},
    ),
    "a list with a command": Bad(
        "sly",
        "bounced 5.7.1 mail to command is restricted",
        "postconf(5), allow_mail_to_commands: alias, forward",
        "sly: :include:%base%/open/list",
        {"open/list": '"|touch %base%/open/done"\n'},
    ),
    "a forward that leads to himself": Bad(
        "%ann%",
        AT_HOME,
        "local(8): a user who names himself gets the mail",
        files={"%ann%/.forward": "%ann%\n"},
    ),
    "forwards in circles": Bad(
        "%ann%",
        "bounced 5.4.6 mail forwarding loop for ",
        "local(8): Delivered-To breaks the loop, where it comes back to who is named there",
        files={"%ann%/.forward": "%bob%\n", "%bob%/.forward": "%ann%\n"},
        whose="%bob%",
    ),
    "a forward that all may write": Bad(
        "%ann%",
        AT_HOME,
        "local(8): as if there were none, with a warning",
        files={"%ann%/.forward": "x@far.test\n"},
        modes={"%ann%/.forward": 0o666},
        event="forward_unsafe",
    ),
    "a forward in a home that all may write": Bad(
        "%ann%",
        AT_HOME,
        "stricter: Postfix does not look at the home, where all can replace the file",
        files={"%ann%/.forward": "x@far.test\n"},
        modes={"%ann%": 0o777},
        event="forward_unsafe",
    ),
    "a forward that is a folder": Bad(
        "%ann%",
        AT_HOME,
        "local(8): no regular file, as if there were none",
        files={"%ann%/.forward/x": ""},
        event="forward_unsafe",
    ),
    "a mailbox that is a link": Bad(
        "%ann%",
        "deferred 4.2.0 mailbox is a symbolic link",
        "kinder: Postfix returns the mail, 5.2.0; its owner can mend it",
        files={"%ann%/precious": ""},
        links={"spool/%ann%": "%base%/%ann%/precious"},
    ),
    "a mailbox with two names": Bad(
        "%ann%",
        "deferred 4.2.0 mailbox has several names",
        "kinder: Postfix returns the mail, 5.2.0",
        files={"spool/%ann%": ""},
        names={"spool/%ann%": "spool/another"},
    ),
    "a mailbox that is a folder": Bad(
        "%ann%",
        "deferred 4.3.0 mailbox cannot be written",
        "kinder: Postfix returns the mail, 5.2.0",
        files={"spool/%ann%/x": ""},
    ),
    "a mailbox that is full": Bad(
        "%ann%",
        "bounced 5.2.2 mailbox is full",
        "postconf(5), mailbox_size_limit",
        files={"spool/%ann%": ""},
        sizes={"spool/%ann%": LIMIT},
    ),
    "a command that hangs": Bad(
        "hangs",
        LATE,
        "postconf(5), command_time_limit: killed, and the mail is returned",
        "hangs: |%base%/bin/sleep 1000",
    ),
    "a command that forks": Bad(
        "forks",
        LATE,
        "as above, with all of its process group",
        'forks: "|bomb() { %base%/bin/sleep 1000 & [ $1 -gt 5 ] || '
        '{ bomb $(($1+1)) & bomb $(($1+1)) & }; }; bomb 0; wait"',
    ),
    "a command that floods": Bad(
        "floods", LATE, "as above: what it says is thrown away", "floods: |%base%/bin/yes"
    ),
    "a command that is missing": Bad(
        "gone",
        "bounced 5.3.0 Command died with status 127",
        "sh(1) says so; no status of sysexits.h",
        "gone: |%base%/bin/none",
    ),
    "a command that is none": Bad(
        "text",
        "bounced 5.3.0 Command died with status 126",
        "sh(1), likewise",
        "text: |%base%/open/text",
        {"open/text": "no program\n"},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def whole() -> Iterator[LocalMail]:
    with local_mail({"command_time_limit": 1, "mailbox_size_limit": LIMIT}) as made:
        (made.folder / "bin").mkdir()
        for program in ("sleep", "yes"):
            (made.folder / "bin" / program).symlink_to(f"/usr/bin/{program}")
        yield made


@pytest.fixture
def mail(whole: LocalMail) -> Iterator[LocalMail]:
    (whole.folder / "open").mkdir()
    (whole.folder / "open").chmod(0o1777)
    yield whole
    whole.tidy()
    shutil.rmtree(whole.folder / "open")
    for person in whole.persons:
        person.home.chmod(0o755)


def filled(mail: LocalMail, text: str) -> str:
    text = text.replace("%ann%", mail.persons[0].name)
    return text.replace("%bob%", mail.persons[-1].name).replace("%base%", str(mail.folder))


def lay_out(mail: LocalMail, bad: Bad) -> None:
    """Make what lies around; what bears a user's name is the user's."""

    def place(path: str) -> Path:
        return mail.folder / filled(mail, path)

    mail.aliases(filled(mail, bad.aliases) + "\n")
    for path, text in bad.files.items():
        place(path).parent.mkdir(exist_ok=True)
        place(path).write_text(filled(mail, text))
        place(path).chmod(0o644)
        os.truncate(place(path), bad.sizes.get(path, len(filled(mail, text))))
    for path, target in bad.links.items():
        place(path).symlink_to(filled(mail, target))
    for path, name in bad.names.items():
        place(name).hardlink_to(place(path))
    for path, mode in bad.modes.items():
        place(path).chmod(mode)
    for path in {*bad.files, *bad.links} if os.geteuid() == 0 else ():
        give(mail, place(path))


def give(mail: LocalMail, path: Path) -> None:
    """Make who is named in the path its owner."""
    for person in mail.persons:
        if person.name in path.relative_to(mail.folder).parts:
            shutil.chown(path, person.name, person.name)


@pytest.mark.parametrize("name", CASES)
def test_bad_input(mail: LocalMail, name: str) -> None:
    bad = CASES[name]
    if "%bob%" in str(bad) and len(mail.persons) == 1:
        pytest.skip("an ordinary user is the only one")
    lay_out(mail, bad)
    mail.send(filled(mail, bad.to))
    told = mail.outcomes(filled(mail, bad.whose or bad.to), bad.outcomes)
    assert told[-1].startswith(bad.expected), bad.rule
    if bad.event:
        assert mail.log(bad.event)
    if not bad.expected.startswith("sent"):
        assert not (mail.folder / "open" / "done").exists()
    wait_until(lambda: not running(f"{mail.folder}/bin/"), "all commands to be gone")


@pytest.mark.requires("root", "useradd")
def test_a_user_who_is_gone_before_his_mail_is_delivered(mail: LocalMail) -> None:
    """Mail is for a name: who has got the number of one who is gone gets none of his mail.

    local(8): who is neither an alias nor a user is unknown, and his mail is returned.
    """
    gone, heir = (f"{mail.persons[0].name}{letter}" for letter in "gh")
    run("useradd", "--home-dir", f"{mail.folder}/{gone}", gone)
    uid = pwd.getpwnam(gone).pw_uid
    (mail.spool / gone).symlink_to("/dev/null")
    mail.send(gone)
    assert mail.outcomes(gone)[-1].startswith("deferred 4.2.0")
    (mail.spool / gone).unlink()
    run("userdel", gone)
    run("useradd", "--uid", str(uid), "--home-dir", f"{mail.folder}/{gone}", heir)
    try:
        mail.house.mta("queue", "flush")
        assert mail.outcomes(gone, 2)[-1] == f'bounced 5.1.1 unknown user: "{gone}"'
        # Who asks for users remembers the answers for some seconds.
        wait_until(lambda: named(mail, gone) == 550, "mail for who is gone to be refused")
        mail.send(heir)
        assert mail.outcomes(heir) == [AT_HOME]
        assert not (mail.spool / gone).exists()
        assert (mail.spool / heir).read_text().count("\nSubject: hello\n") == 1
    finally:
        run("userdel", heir)


@pytest.mark.requires("root")
def test_a_user_whose_home_is_gone(mail: LocalMail) -> None:
    """local(8): there is no .forward file then; postconf(5), require_home_directory: no."""
    ann = mail.persons[0]
    aside = mail.folder / "aside"
    ann.home.rename(aside)
    try:
        mail.send(ann.name)
        assert mail.outcomes(ann.name) == [AT_HOME]
    finally:
        aside.rename(ann.home)


def named(mail: LocalMail, to: str) -> int:
    """The code of what a client hears that names a recipient."""
    with mail.house.smtp() as client:
        client.greeted().say("MAIL FROM:<>", 250)
        client.send(f"RCPT TO:<{to}@{HERE}>")
        return client.reply().code


def run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=60, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
