"""Whom and what mail for a user of this host is for: local(8) and aliases(5), case by case."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.local_house import HERE, LocalHouse

from mta.ipc.messages import CommandEnded
from mta.proto.status import MailError, Status
from mta.util.accounts import Account

INBOX = "ann mbox /var/mail/ann"
BUSY = MailError(Status(451, "4.2.0", "mailbox is locked"))
FULL = MailError(Status(552, "5.2.2", "mailbox is full"))


@pytest.mark.parametrize(
    ("aliases", "files", "to", "done"),
    [
        # Mailboxes
        ({}, {}, "ann", [INBOX]),
        ({}, {}, "ANN", [INBOX]),
        ({}, {}, "ann+lists", [INBOX]),
        # Aliases
        ({"info": "ann"}, {}, "info", [INBOX]),
        ({"info": "ann"}, {}, "info+x", [INBOX]),
        ({"info+x": "bob", "info": "ann"}, {}, "info+x", ["bob mbox /var/mail/bob"]),
        ({"info": "ann, bob"}, {}, "info", [INBOX, "bob mbox /var/mail/bob"]),
        ({"info": "ann, ann, ANN"}, {}, "info", [INBOX]),
        ({"info": "help", "help": "ann"}, {}, "info", [INBOX]),
        ({"ann": "ann, x@far.test"}, {}, "ann", [INBOX, "forward from S: x@far.test"]),
        ({"ann": "bob"}, {}, "ann", ["bob mbox /var/mail/bob"]),
        ({"ann": r"\ann, bob"}, {}, "ann", [INBOX, "bob mbox /var/mail/bob"]),
        ({"info": "x@far.test"}, {}, "info", ["forward from S: x@far.test"]),
        ({"info": "x@far.test, y@far.test, X@far.test"}, {}, "info",
         ["forward from S: x@far.test y@far.test"]),
        ({"dev-null": "/dev/null"}, {}, "dev-null", ["nobody mbox /dev/null"]),
        ({"box": "/srv/box/"}, {}, "box", ["nobody maildir /srv/box/"]),
        ({"prog": '"|/bin/prog -x"'}, {}, "prog", ["nobody runs /bin/prog -x"]),
        ({"prog": "|/bin/p, |/bin/p"}, {}, "prog", ["nobody runs /bin/p"]),
        # Owners: what they forward has them for its sender, and goes by a new message
        ({"list": "ann, x@far.test", "owner-list": "bob"}, {}, "list",
         [f"forward from owner-list@{HERE}: ann@{HERE} x@far.test"]),
        ({"list": "sub", "owner-list": "bob", "sub": "ann"}, {}, "list",
         [f"forward from owner-list@{HERE}: ann@{HERE}"]),
        # :include:
        ({"list": ":include:/etc/list"}, {"/etc/list": "ann\nx@far.test\n# bob\n"}, "list",
         ["nobody reads /etc/list", f"forward from S: ann@{HERE} x@far.test"]),
        ({"list": ":include:/l"}, {"/l": ":include:/l\nann"}, "list",
         ["nobody reads /l", f"forward from S: ann@{HERE}"]),
        ({"list": ":include:/l"}, {"/l": ""}, "list", ["nobody reads /l"]),
        # .forward
        ({}, {"/home/ann/.forward": "x@far.test"}, "ann",
         ["ann reads /home/ann/.forward", "forward from S: x@far.test"]),
        ({}, {"/home/ann/.forward": r"\ann, x@far.test"}, "ann",
         ["ann reads /home/ann/.forward", INBOX, "forward from S: x@far.test"]),
        ({}, {"/home/ann/.forward": "ann\nx@far.test"}, "ann",
         ["ann reads /home/ann/.forward", INBOX, "forward from S: x@far.test"]),
        ({}, {"/home/ann/.forward": "bob"}, "ann",
         ["ann reads /home/ann/.forward", f"forward from S: bob@{HERE}"]),
        ({}, {"/home/ann/.forward": '"|/bin/procmail"'}, "ann",
         ["ann reads /home/ann/.forward", "ann runs /bin/procmail"]),
        ({}, {"/home/ann/.forward": "/home/ann/Mail/"}, "ann",
         ["ann reads /home/ann/.forward", "ann maildir /home/ann/Mail/"]),
        ({}, {"/home/ann/.forward": "# nothing\n\n"}, "ann",
         ["ann reads /home/ann/.forward", INBOX]),
        ({}, {"/home/ann/.forward": None}, "ann", [INBOX]),
        ({}, {"/home/ann/.forward+x": "x@far.test", "/home/ann/.forward": "y@far.test"}, "ann+x",
         ["ann reads /home/ann/.forward+x", "forward from S: x@far.test"]),
        ({}, {"/home/ann/.forward+x": "x@far.test", "/home/ann/.forward": "y@far.test"}, "ann+y",
         ["ann reads /home/ann/.forward", "forward from S: y@far.test"]),
        ({}, {"/home/ann/.forward": "x@far.test"}, '"ann+../x"',
         ["ann reads /home/ann/.forward", "forward from S: x@far.test"]),
        # An alias of hers in her own .forward means herself
        ({"a.smith": "ann"}, {"/home/ann/.forward": "a.smith, x@far.test"}, "ann",
         ["ann reads /home/ann/.forward", INBOX, "forward from S: x@far.test"]),
        ({"info": "ann"}, {"/home/ann/.forward": ":include:/more", "/more": "y@far.test"}, "info",
         ["ann reads /home/ann/.forward", "ann reads /more", "forward from S: y@far.test"]),
    ],
)  # fmt: skip
def test_where_mail_goes(
    aliases: dict[str, str], files: dict[str, str | None], to: str, done: list[str]
) -> None:
    house = LocalHouse(aliases, files)
    status = house.deliver(f"{to}@{HERE}")
    assert (status.code, status.enhanced) == (250, "2.0.0"), status
    assert house.done == [it.replace("from S:", "from sender@far.test:") for it in done]


@pytest.mark.parametrize(
    ("aliases", "files", "to", "expected"),
    [
        ({}, {}, "eve", '550 5.1.1 unknown user: "eve"'),
        ({}, {}, "eve+x", '550 5.1.1 unknown user: "eve+x"'),
        ({}, {}, '"e v;e"', '550 5.1.1 unknown user: "e_v_e"'),
        ({}, {}, '""', '550 5.1.3 null username in "__@here.test"'),
        ({"info": "eve"}, {}, "info", '550 5.1.1 unknown user: "eve"'),
        ({"a": "b", "b": "a"}, {}, "a", "554 5.4.6 alias database loop for"),
        ({"a": "no address at all"}, {}, "a", "550 5.1.3 bad address syntax"),
        ({"a": ":include:list"}, {}, "a", "550 5.3.5 :include: file without an absolute path"),
        ({"a": ":include:/none"}, {}, "a", "550 5.3.5 an :include: file cannot be read"),
        ({"a": ":include:/open"}, {"/open": None}, "a", "550 5.3.5 an :include: file cannot be"),
        ({"a": ":include:/l"}, {"/l": "|/bin/x"}, "a", "550 5.7.1 mail to command is restricted"),
        ({"a": ":include:/l"}, {"/l": "/x"}, "a", "550 5.7.1 mail to file is restricted"),
        ({"a": "|"}, {}, "a", "550 5.3.5 no command, or one that is too long"),
        ({"a": f"|{'x' * 9000}"}, {}, "a", "550 5.3.5 no command, or one that is too long"),
        ({"a": f"/{'x' * 5000}"}, {}, "a", "550 5.2.0 no file can have this name"),
    ],
)
def test_what_bounces(
    aliases: dict[str, str], files: dict[str, str | None], to: str, expected: str
) -> None:
    house = LocalHouse(aliases, files)
    assert str(house.deliver(f"{to}@{HERE}")).startswith(expected)
    assert not [it for it in house.done if "reads" not in it]


def test_a_hundred_aliases_in_a_row_are_no_loop() -> None:
    aliases = {f"a{number}": f"a{number + 1}" for number in range(100)} | {"a100": "ann"}
    house = LocalHouse(aliases)
    assert house.deliver(f"a0@{HERE}").code == 250
    assert house.done == [INBOX]


def test_a_message_that_comes_again_is_in_a_loop() -> None:
    """What two users' .forward files do to each other ends here."""
    house = LocalHouse(files={"/home/ann/.forward": "bob"})
    status = house.deliver(f"Ann@{HERE}", delivered_to=[f"bob@{HERE}", f"ann@{HERE}"])
    assert str(status) == f"554 5.4.6 mail forwarding loop for Ann@{HERE}"
    assert not house.done


def test_what_a_mailbox_gets_before_the_message() -> None:
    house = LocalHouse({"info": "ann"})
    house.deliver(f"Info@{HERE}", original="INFO@old.test")
    (prefix,) = house.prefixes
    assert prefix.decode().splitlines() == [
        "Return-Path: <sender@far.test>",
        "X-Original-To: INFO@old.test",
        "Delivered-To: Info@here.test",
    ]


def test_what_is_forwarded_keeps_sender_and_original_and_names_the_first_recipient() -> None:
    house = LocalHouse({"info": "ann"}, {"/home/ann/.forward": "x@far.test"})
    house.deliver(f"info@{HERE}", sender="", original="INFO@old.test")
    ((sender, (recipient,), delivered),) = house.forwarded
    assert (sender, delivered) == ("", f"info@{HERE}")
    assert (recipient.address, recipient.original) == ("x@far.test", "INFO@old.test")


def test_the_null_sender_is_told_to_a_command() -> None:
    house = LocalHouse({"prog": "|/bin/prog"})
    house.deliver(f"prog@{HERE}", sender="")
    assert house.environments[0]["SENDER"] == ""
    assert house.prefixes[0].startswith(b"From MAILER-DAEMON  ")
    assert b"\nReturn-Path: <>\n" in house.prefixes[0]


def test_the_environment_of_a_users_command() -> None:
    house = LocalHouse(files={"/home/ann/.forward": '"|exec prog"'})
    house.deliver(f'"ann+$(id)"@{HERE}', sender="a'b@far.test", original="Ann@old.test")
    assert house.environments == [
        {
            "HOME": "/home/ann",
            "SHELL": "/bin/sh",
            "USER": "ann",
            "LOGNAME": "ann",
            "LOCAL": "ann+__id_",
            "EXTENSION": "__id_",
            "DOMAIN": HERE,
            "RECIPIENT": "ann+__id_@here.test",
            "ORIGINAL_RECIPIENT": "Ann@old.test",
            "CLIENT_ADDRESS": "192.0.2.1",
            "CLIENT_HELO": "client.test",
            "CLIENT_PROTOCOL": "ESMTP",
            "SENDER": "a_b@far.test",
        }
    ]


def test_an_alias_of_a_users_table_is_served_with_his_rights() -> None:
    owner = Account("lists", 500, 500, "/srv/lists", "/bin/sh")
    house = LocalHouse({"prog": "|/bin/prog, /srv/lists/archive"}, owner=owner)
    house.deliver(f"prog@{HERE}")
    assert house.done == ["lists runs /bin/prog", "lists mbox /srv/lists/archive"]
    assert house.environments[0]["HOME"] == "/srv/lists"


def test_an_alias_of_root_has_no_home() -> None:
    house = LocalHouse({"prog": "|/bin/prog"}, default_privs="filter")
    house.deliver(f"prog@{HERE}")
    assert house.done == ["filter runs /bin/prog"]
    assert not {"HOME", "SHELL"} & house.environments[0].keys()


@pytest.mark.parametrize(
    ("directory", "to", "where"),
    [
        ("", f"ann@{HERE}", ""),
        ("$home", f"ann@{HERE}", " in /home/ann"),
        ("$home", f"prog@{HERE}", ""),  # an alias of root's has no home
        ("/srv/$domain/${extension?{$extension}:{none}}", f"ann+x@{HERE}", f" in /srv/{HERE}/x"),
        ("/srv/$extension", f"ann@{HERE}", " in /srv/"),
        ("/srv/$extension", f'"ann+$(x)"@{HERE}', " in /srv/__x_"),
    ],
)
def test_where_commands_run(directory: str, to: str, where: str) -> None:
    house = LocalHouse(
        {"prog": "|/bin/prog"},
        {"/home/ann/.forward": "|/bin/prog"},
        command_execution_directory=directory,
        default_privs="ann",
    )
    house.deliver(to)
    assert house.done[-1] == f"ann runs /bin/prog{where}"


def test_a_command_that_can_run_nowhere_is_put_off() -> None:
    house = LocalHouse({"prog": "|/bin/prog"}, command_execution_directory="${home:relative}")
    assert str(house.deliver(f"prog@{HERE}")) == "451 4.3.5 mail system configuration error"
    assert not house.done


def test_the_owner_may_be_expanded() -> None:
    house = LocalHouse({"l": "x@far.test", "owner-l": "bob"}, expand_owner_alias=True)
    house.deliver(f"l@{HERE}")
    assert house.done == [f"forward from bob@{HERE}: x@far.test"]


def test_owners_and_requests_stay_whole() -> None:
    aliases = {"owner-l": "bob", "l-request": "joe", "owner": "ann", "l": "ann"}
    house = LocalHouse(aliases, recipient_delimiter="-")
    for name in ("owner-l", "l-request"):
        house.deliver(f"{name}@{HERE}")
    assert house.done == ["bob mbox /var/mail/bob", "joe mbox /var/mail/joe"]


def test_owners_and_requests_may_be_names_as_any_other() -> None:
    aliases = {"l": "x@far.test", "owner-l": "bob", "owner": "ann"}
    house = LocalHouse(aliases, recipient_delimiter="-", owner_request_special=False)
    house.deliver(f"l@{HERE}")
    house.deliver(f"owner-x@{HERE}")
    assert house.done == ["forward from sender@far.test: x@far.test", INBOX]


@pytest.mark.parametrize(
    ("steps", "aliases", "files", "expected"),
    [
        ([], {"info": "x@far.test"}, {}, "x@far.test"),
        (["alias"], {"info": "x@far.test"}, {}, "x+y@far.test"),
        (["forward"], {"info": "x@far.test"}, {}, "x@far.test"),
        ([], {}, {"/home/info/.forward": "x@far.test"}, "x@far.test"),
        (["forward"], {}, {"/home/info/.forward": "x@far.test"}, "x+y@far.test"),
        (["forward"], {}, {"/home/info/.forward+y": "x@far.test"}, "x@far.test"),
        (["alias"], {"info": ":include:/l"}, {"/l": "x@far.test"}, "x@far.test"),
        (["alias", "include"], {"info": ":include:/l"}, {"/l": "x@far.test"}, "x+y@far.test"),
        (["alias"], {"info+y": "x@far.test"}, {}, "x@far.test"),
    ],
)
def test_an_extension_is_propagated_where_that_is_wanted(
    steps: list[str], aliases: dict[str, str], files: dict[str, str | None], expected: str
) -> None:
    house = LocalHouse(aliases, files, users=["info"], propagate_unmatched_extensions=steps)
    house.deliver(f"info+y@{HERE}")
    assert house.forwarded[0][1][0].address == expected


@pytest.mark.parametrize(
    ("parameters", "tables", "to", "done"),
    [
        ({"home_mailbox": "Maildir/"}, {}, "ann", ["ann maildir /home/ann/Maildir/"]),
        ({"home_mailbox": "Mailbox"}, {}, "ann", ["ann mbox /home/ann/Mailbox"]),
        ({"mail_spool_directory": "/srv/"}, {}, "ann", ["ann maildir /srv/ann/"]),
        ({"mail_spool_directory": "/srv"}, {}, "ann", ["ann mbox /srv/ann"]),
        ({"mailbox_command": "/bin/x", "home_mailbox": "M"}, {}, "ann", ["ann runs /bin/x"]),
        (
            {"mailbox_command": "/bin/x"},
            {"mailbox_command_maps": {"ann": "/bin/y"}},
            "ann",
            ["ann runs /bin/y"],
        ),
        (
            {"mailbox_transport": "lmtp:unix:/l", "mailbox_command": "/bin/x"},
            {"mailbox_command_maps": {"ann": "/bin/y"}},
            "ann+x",
            ["lmtp:unix:/l gets ann+x@here.test"],
        ),
        ({"mailbox_transport": "lmtp"}, {}, "eve", ["lmtp gets eve@here.test"]),
        (
            {"mailbox_transport": "lmtp"},
            {"mailbox_transport_maps": {"ann": "virtual"}},
            "ann",
            ["virtual gets ann@here.test"],
        ),
        ({"fallback_transport": "lmtp"}, {}, "ann", [INBOX]),
        ({"fallback_transport": "lmtp"}, {}, "eve", ["lmtp gets eve@here.test"]),
        (
            {"fallback_transport": "lmtp", "luser_relay": "bob"},
            {"fallback_transport_maps": {"eve": "virtual"}},
            "eve",
            ["virtual gets eve@here.test"],
        ),
        ({"luser_relay": "ann"}, {}, "eve", [INBOX]),
        ({"luser_relay": "ann+$local"}, {}, "eve", [INBOX]),
        (
            {"luser_relay": "$user@far.test"},
            {},
            "eve+x",
            ["forward from sender@far.test: eve@far.test"],
        ),
        ({"forward_path": []}, {}, "bob", ["bob mbox /var/mail/bob"]),
        (
            {"forward_path": ["/var/forward/$user"]},
            {},
            "bob",
            ["bob reads /var/forward/bob", "forward from sender@far.test: x@far.test"],
        ),
    ],
)
def test_the_order_of_mailboxes(
    parameters: dict[str, Any], tables: dict[str, dict[str, str]], to: str, done: list[str]
) -> None:
    files: dict[str, str | None] = {
        "/home/bob/.forward": "x@far.test",
        "/var/forward/bob": "x@far.test",
    }
    house = LocalHouse(files=files, **parameters)
    house.tables = tables
    assert house.deliver(f"{to}@{HERE}").code == 250
    assert house.done == done


def test_a_relay_for_nobody_that_leads_to_nobody_bounces() -> None:
    house = LocalHouse(luser_relay="nobody-either")
    assert str(house.deliver(f"eve@{HERE}")) == '550 5.1.1 unknown user: "nobody-either"'


def test_a_parameter_that_makes_no_sense_defers() -> None:
    house = LocalHouse(luser_relay="${user")
    assert str(house.deliver(f"eve@{HERE}")) == "451 4.3.5 mail system configuration error"


@pytest.mark.parametrize("name", ["postmaster", "MAILER-DAEMON"])
def test_a_name_that_must_exist_and_has_no_alias(name: str) -> None:
    house = LocalHouse()
    assert str(house.deliver(f"{name}@{HERE}")).startswith("250 2.0.0 discarded")
    assert house.warnings == ["alias_missing"]


# Failures


def test_a_target_that_must_be_tried_again_holds_back_what_is_forwarded() -> None:
    house = LocalHouse({"a": "ann, x@far.test, bob"})
    house.failures["/var/mail/ann"] = BUSY
    assert str(house.deliver(f"a@{HERE}")) == "451 4.2.0 mailbox is locked"
    assert house.done == ["bob mbox /var/mail/bob"]


def test_a_target_that_failed_is_told_though_others_were_served() -> None:
    house = LocalHouse({"a": "ann, x@far.test, bob"})
    house.failures["/var/mail/ann"] = FULL
    assert str(house.deliver(f"a@{HERE}")) == "552 5.2.2 mailbox is full"
    assert house.done == ["bob mbox /var/mail/bob", "forward from sender@far.test: x@far.test"]


def test_a_deferral_goes_before_a_failure() -> None:
    house = LocalHouse({"a": "ann, bob"})
    house.failures |= {"/var/mail/ann": FULL, "/var/mail/bob": BUSY}
    assert str(house.deliver(f"a@{HERE}")) == "451 4.2.0 mailbox is locked"


@pytest.mark.parametrize(
    "what", ["alias ann", "user ann", "/home/ann/.forward", "/var/mail/ann", "cleanup"]
)
def test_what_gives_no_answer_defers(what: str) -> None:
    files: dict[str, str | None] = {"/home/ann/.forward": r"\ann, x@far.test"}
    house = LocalHouse(files=files)
    house.failures[what] = MailError(Status(451, "4.3.0", "not now"))
    assert house.deliver(f"ann@{HERE}").is_temporary


def test_a_command_says_what_becomes_of_mail() -> None:
    house = LocalHouse({"a": "|/bin/x"})
    house.ended = CommandEnded(67, False, b"nobody\n")
    assert str(house.deliver(f"a@{HERE}")) == "550 5.1.1 user unknown. Command output: nobody"


def test_what_was_done_for_another_recipient_is_not_done_again() -> None:
    house = LocalHouse({"a": "x@far.test", "b": "x@far.test"})
    seen: set[tuple[str, ...]] = set()
    assert house.deliver(f"a@{HERE}", seen=seen).code == 250
    assert str(house.deliver(f"b@{HERE}", seen=seen)).startswith("250 2.0.0 nothing to deliver")
    assert house.done == ["forward from sender@far.test: x@far.test"]


names = st.sampled_from(["ann", "bob", "a", "b", "c", "owner-a"])
words = st.one_of(names, st.sampled_from([r"\ann", "x@far.test", "|/bin/x", "/f", ":include:/l"]))
values = st.lists(words, min_size=1, max_size=4).map(", ".join)
lists = st.lists(names, min_size=1, max_size=4).map(", ".join)


@given(
    st.dictionaries(names, values),
    st.dictionaries(st.sampled_from(["/home/ann/.forward", "/home/bob/.forward"]), values),
    lists,
    st.sampled_from(["ann", "bob", "a", "b", "c", "ann+x"]),
)
def test_whatever_leads_to_whatever_ends_and_is_served_once_or_told(
    aliases: dict[str, str], files: dict[str, str], included: str, to: str
) -> None:
    house = LocalHouse(aliases, {**files, "/l": included})
    status = house.deliver(f"{to}@{HERE}")
    served = [it for it in house.done if "reads" not in it]
    assert served or status.is_permanent
    assert len(served) == len(set(served))


def test_a_list_of_nobody_is_told_to_the_log() -> None:
    """As in Postfix, mail to an empty list is delivered: to nobody."""
    house = LocalHouse({"list": ":include:/l"}, {"/l": ":include:/l\n"})
    assert str(house.deliver(f"list@{HERE}")).startswith("250 2.0.0 nothing to deliver")
    assert house.warnings == ["leads_nowhere"]
