"""Every mistake in main.yml and services.yml is told with its place and the way out."""

import os

import pytest
from support.configuration import ConfigurationFolder

from mta.config.table import daemons, profiles


def row(text: str) -> str:
    return f"profile: hub\nservices:\n  smtp: {{{text}}}\n"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (
            "message_size_limit: ten",
            (
                "5:21: main.message_size_limit: expected an integer of at least 1024 and at most "
                '1099511627776, got "ten"'
            ),
        ),
        (
            "hopcount_limit: 0",
            "5:17: main.hopcount_limit: expected an integer of at least 1 and at most 1000, got 0",
        ),
        (
            "hopcount_limit: 1.0",
            (
                "5:17: main.hopcount_limit: expected an integer of at least 1 and at most 1000, "
                "got 1.0"
            ),
        ),
        (
            "hopcount_limit: true",
            (
                "5:17: main.hopcount_limit: expected an integer of at least 1 and at most 1000, "
                "got true"
            ),
        ),
        (
            "smtpd_timeout: 5 minutes",
            (
                "5:16: main.smtpd_timeout: expected a duration of at least 1s and at most "
                '31622400s (100, 100s, 5m, 4h, 5d, 1w), got "5 minutes"'
            ),
        ),
        (
            "smtpd_timeout: 0",
            (
                "5:16: main.smtpd_timeout: expected a duration of at least 1s and at most "
                "31622400s (100, 100s, 5m, 4h, 5d, 1w), got 0"
            ),
        ),
        (
            "mynetworks: 10.0.0.0/8",
            (
                "5:13: main.mynetworks: expected a list (each item a network, ADDRESS/LENGTH), "
                'got "10.0.0.0/8"'
            ),
        ),
        (
            "mynetworks: [10.0.0.0/8, 1]",
            "5:26: main.mynetworks[1]: expected a network, ADDRESS/LENGTH, got 1",
        ),
        (
            "virtual_mailbox_domains: [a.test, B.test]",
            (
                "5:35: main.virtual_mailbox_domains[1]: expected a domain name in lower case, "
                'got "B.test"'
            ),
        ),
        (
            "virtual_mailbox_domains: [a..test]",
            (
                "5:27: main.virtual_mailbox_domains[0]: expected a domain name in lower case, "
                'got "a..test"'
            ),
        ),
        (
            "virtual_transport: {a: 1}",
            (
                "5:20: main.virtual_transport: expected the name of a row, or ROW:NEXTHOP, "
                "got a mapping"
            ),
        ),
        (
            "default_transport:",
            "5:19: main.default_transport: expected the name of a row, or ROW:NEXTHOP, got nothing",
        ),
        (
            "mesage_size_limit: 5000",
            '5:1: main.mesage_size_limit: unknown name; did you mean "message_size_limit"?',
        ),
        ("xyzzy: 1", "5:1: main.xyzzy: unknown name"),
        (
            "mynetworks: [10.0.0.1/8]",
            "5:13: main.mynetworks: 10.0.0.1/8 has host bits set",
        ),
        (
            "dns_servers: [192.0.2.1, ns.example.org]",
            '5:26: main.dns_servers[1]: expected ADDRESS or [ADDRESS]:PORT, got "ns.example.org"',
        ),
        (
            "minimal_backoff_time: 2h",
            "5:23: main.minimal_backoff_time: 7200s is more than maximal_backoff_time, 4000s",
        ),
        (
            "virtual_mailbox_domains: [a.test]\nvirtual_transport: virtuall",
            (
                "6:20: main.virtual_transport: the service table has no row virtuall; did you mean "
                '"virtual"?'
            ),
        ),
        (
            "default_transport: rewriter",
            (
                "5:20: main.default_transport: the service table has no row rewriter; did you mean "
                '"rewrite"?'
            ),
        ),
        (
            "default_transport: smtp",
            "5:20: main.default_transport: the row smtp does not listen on ipc:private/smtp",
        ),
        (
            "default_transport: outbound:[mx.test]:0",
            ("5:20: main.default_transport: expected a port from 1 to 65535, got '[mx.test]:0'"),
        ),
        (
            "default_transport: outbound:unix:/run/lmtp",
            (
                "5:20: main.default_transport: expected DOMAIN, [HOST] or [HOST]:PORT, got "
                "'unix:/run/lmtp'"
            ),
        ),
        (
            "virtual_transport: lmtp:inet:store",
            ("5:20: main.virtual_transport: expected a port from 1 to 65535, got 'inet:store'"),
        ),
        (
            "virtual_transport: 'lmtp:unix:'",
            "5:20: main.virtual_transport: expected unix:PATH, got 'unix:'",
        ),
        (
            "relayhost: unix:/run/lmtp",
            ("5:12: main.relayhost: expected DOMAIN, [HOST] or [HOST]:PORT, got 'unix:/run/lmtp'"),
        ),
        (
            "smtp_fallback_relay: [a.test, '[b.test']",
            ("5:22: main.smtp_fallback_relay[1]: expected [HOST] or [HOST]:PORT, got '[b.test'"),
        ),
        (
            "proxy_interfaces: [192.0.2.1, mx.test]",
            '5:31: main.proxy_interfaces[1]: expected an IP address, got "mx.test"',
        ),
    ],
)
def test_mistakes_in_main_yml(folder: ConfigurationFolder, line: str, problem: str) -> None:
    folder.main(line + "\n")
    assert folder.problems() == [f"main.yml:{problem}"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "numprocs: four",
            (
                "3:20: services.smtp.numprocs: expected an integer of at least 1 and at most 1000, "
                'got "four"'
            ),
        ),
        (
            "numproc: 4",
            '3:10: services.smtp.numproc: unknown name; did you mean "numprocs"?',
        ),
        (
            "restart: sometimes",
            '3:19: services.smtp.restart: expected always, never or on_demand, got "sometimes"',
        ),
        ("enabled: no", '3:19: services.smtp.enabled: expected true or false, got "no"'),
        ("name: other", "3:10: services.smtp.name: unknown name: the row's key is its name"),
        (
            "max_idle: -1s",
            (
                "3:20: services.smtp.max_idle: expected a duration of at least 0s and at most "
                '31622400s (100, 100s, 5m, 4h, 5d, 1w), got "-1s"'
            ),
        ),
        (
            "daemon: smptd",
            '3:18: services.smtp.daemon: no such daemon: "smptd"; did you mean "smtpd"?',
        ),
        (
            'listen: ["inet:127.0.0.1:25", "inet:127.0.0.1:99999"]',
            "3:40: services.smtp.listen[1]: expected a port from 1 to 65535, got '99999'",
        ),
        (
            'listen: ["inet:localhost:25"]',
            (
                "3:19: services.smtp.listen[0]: expected inet:IPV4:PORT, inet:[IPV6]:PORT, "
                "unix:PATH, ipc:PATH or pipe:NAME (a PATH is public/NAME or private/NAME), "
                'got "inet:localhost:25"'
            ),
        ),
        (
            'listen: ["inet:127.0.0.1.1:25"]',
            (
                "3:19: services.smtp.listen[0]: expected a literal IPv4 or [IPv6] address: "
                "Expected 4 octets in '127.0.0.1.1'"
            ),
        ),
        (
            'listen: ["ipc:../cleanup"]',
            (
                "3:19: services.smtp.listen[0]: expected inet:IPV4:PORT, inet:[IPV6]:PORT, "
                "unix:PATH, ipc:PATH or pipe:NAME (a PATH is public/NAME or private/NAME), "
                'got "ipc:../cleanup"'
            ),
        ),
        (
            'listen: ["ipc:private/cleanup"]',
            (
                "3:19: services.smtp.listen[0]: ipc:private/cleanup is already taken by "
                "services.cleanup"
            ),
        ),
        (
            'listen: ["inet:[::1]:25", "inet:[0::1]:25"]',
            "3:36: services.smtp.listen[1]: inet:[0::1]:25 is already taken by services.smtp",
        ),
        (
            'listen: ["unix:private/x", "ipc:private/x"]',
            "3:37: services.smtp.listen[1]: ipc:private/x is already taken by services.smtp",
        ),
        (
            "settings: {smtpd_timeot: 5}",
            (
                "3:21: services.smtp.settings.smtpd_timeot: unknown name; did you mean "
                '"smtpd_timeout"?'
            ),
        ),
        (
            "settings: {smtpd_timeout: soon}",
            (
                "3:36: services.smtp.settings.smtpd_timeout: expected a duration of at least 1s "
                'and at most 31622400s (100, 100s, 5m, 4h, 5d, 1w), got "soon"'
            ),
        ),
        (
            "settings: {queue_directory: /elsewhere}",
            (
                "3:21: services.smtp.settings.queue_directory: this parameter is for the whole "
                "system: set it in main.yml"
            ),
        ),
        (
            "settings: {maximal_backoff_time: 1s, minimal_backoff_time: 2s}",
            (
                "3:20: services.smtp.settings.minimal_backoff_time: 2s is more than "
                "maximal_backoff_time, 1s"
            ),
        ),
        (
            "user: root",
            "3:16: services.smtp.user: only a row with privileged: true may run as root",
        ),
        (
            "min_free: 11",
            "3:20: services.smtp.min_free: more than numprocs, 10",
        ),
        (
            "listen: []",
            (
                "3:9: services.smtp: nothing would ever start it: give it listen, wakeup, min_free "
                "or restart: always"
            ),
        ),
        (
            "command: [python3, -V]",
            "3:20: services.smtp.command[0]: expected an absolute path of a program, got 'python3'",
        ),
        (
            "command: [/bin/echo, 'a ;b']",
            (
                "3:31: services.smtp.command[1]: supervisord.conf cannot hold control characters, "
                '"%(", or a blank at an end or before ";" or "#"'
            ),
        ),
        (
            'command: [/bin/echo, "a\\nb"]',
            '3:31: services.smtp.command[1]: expected printable text, got "a\\nb"',
        ),
    ],
)
def test_mistakes_in_a_row(folder: ConfigurationFolder, text: str, problem: str) -> None:
    folder.services(row(text))
    assert folder.problems() == [f"services.yml:{problem}"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1:1: profile: required: hub"),
        ("services: {}\n", "1:1: profile: required: hub"),
        ("profile: hubb\n", '1:10: profile: expected hub, got "hubb"; did you mean "hub"?'),
        ("profile: hub\nservice: {}\n", '2:1: service: unknown name; did you mean "services"?'),
        ("- hub\n", "1:1: expected a mapping, got a list"),
        ("profile: hub\nservices: []\n", "2:11: services: expected a mapping, got a list"),
        ("profile: hub\nservices: {smtp: 4}\n", "2:18: services.smtp: expected a mapping, got 4"),
        (
            "profile: hub\nservices: {Smtp2: {daemon: smtpd, wakeup: 1}}\n",
            '2:12: services.Smtp2: expected a short lower-case name, got "Smtp2"',
        ),
        (
            "profile: hub\nservices: {reload_: {daemon: smtpd, wakeup: 1}}\n",
            "2:12: services.reload_: this name is the master's own",
        ),
        (
            "profile: hub\nservices: {virtul: {enabled: false}}\n",
            (
                "2:12: services.virtul.daemon: required, for the profile has no row virtul; "
                'did you mean "virtual"?'
            ),
        ),
        (
            "profile: hub\nservices: {qmgr: {numprocs: 2}}\n",
            "2:29: services.qmgr.numprocs: qmgr can only run as one process",
        ),
        (
            "profile: hub\nservices: {log: {numprocs: 2}}\n",
            "2:28: services.log.numprocs: log can only run as one process",
        ),
        (
            'profile: hub\nservices: {other: {daemon: log, listen: ["pipe:log"]}}\n',
            "2:42: services.other.listen[0]: pipe:log is already taken by services.log",
        ),
    ],
)
def test_mistakes_in_the_table(folder: ConfigurationFolder, text: str, problem: str) -> None:
    folder.services(text)
    assert f"services.yml:{problem}" in folder.problems()


def test_all_mistakes_are_told_in_the_order_of_the_files(folder: ConfigurationFolder) -> None:
    folder.main("hopcount_limit: 0\nxyzzy: 1\n")
    folder.services(row("numprocs: 0, client_limit: 0"))
    places = [problem.split(": ")[0] for problem in folder.problems()]
    assert places == ["main.yml:5:17", "main.yml:6:1", "services.yml:3:20", "services.yml:3:37"]


def test_what_is_required(folder: ConfigurationFolder) -> None:
    (folder.directory / "main.yml").write_text("myhostname: posthouse.test\n")
    assert folder.problems() == [
        "main.yml:1:1: main.log_file: required",
        "main.yml:1:1: main.queue_directory: required",
    ]


def test_mailboxes_need_a_place(folder: ConfigurationFolder) -> None:
    folder.main("virtual_mailbox_domains: [posthouse.test]\n")
    folder.compile()
    text = (folder.directory / "main.yml").read_text().replace("virtual_mailbox_base", "#")
    (folder.directory / "main.yml").write_text(text)
    assert folder.problems() == [
        "main.yml:1:1: main.virtual_mailbox_base: required, for virtual_mailbox_domains has domains"
    ]


def test_transport_that_is_switched_off_lets_its_mail_wait(folder: ConfigurationFolder) -> None:
    folder.main("virtual_mailbox_domains: [posthouse.test]\n")
    folder.services("profile: hub\nservices: {virtual: {enabled: false}}\n")
    assert "virtual" not in {service.name for service in folder.compile().services}


def test_nexthops_that_lead_somewhere(folder: ConfigurationFolder) -> None:
    folder.main(
        "default_transport: outbound:[mx.test]:587\n"
        "virtual_transport: lmtp:unix:/run/dovecot/lmtp\n"
        "proxy_interfaces: [192.0.2.1, '2001:db8::1']\n"
    )
    folder.compile()


def test_host_without_a_mail_name_must_be_given_one(
    folder: ConfigurationFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "my_host")
    text = (folder.directory / "main.yml").read_text().replace("myhostname", "#")
    (folder.directory / "main.yml").write_text(text)
    assert folder.problems() == [
        (
            "main.yml:1:1: main.myhostname: this host's name 'my_host' is not a domain name in "
            "lower case: set myhostname"
        )
    ]


def test_root_needs_users_that_exist(
    folder: ConfigurationFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.services(row("user: nobody-here"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert (
        "services.yml:3:16: services.smtp.user: this host has no user nobody-here: roll out the "
        "role users, or adduser --system --group --no-create-home nobody-here"
    ) in folder.problems()
    folder.main("mail_owner: no-owner\nprivate_group: no-group\n")
    assert [problem for problem in folder.problems() if problem.startswith("main.yml")] == [
        (
            "main.yml:5:13: main.mail_owner: this host has no user no-owner: roll out the role "
            "users, or adduser --system --group --no-create-home no-owner"
        ),
        (
            "main.yml:6:16: main.private_group: this host has no group no-group: roll out the role "
            "users, or addgroup --system no-group"
        ),
    ]
    monkeypatch.setattr(os, "geteuid", lambda: 1000)  # rootless: it is not used
    folder.main("")
    folder.compile()


@pytest.mark.requires("root")
def test_who_takes_mail_in_must_reach_the_other_daemons(folder: ConfigurationFolder) -> None:
    folder.services(row("user: nobody"))
    assert folder.problems() == [
        (
            "main.yml:1:1: main.private_group: nobody is not a member, and could not connect to "
            "other daemons: adduser nobody mtaprivate"
        )
    ]


def test_root_needs_a_user_for_each_row(
    folder: ConfigurationFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.services(row('user: ""'))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    folder.compile()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert (
        "services.yml:3:16: services.smtp.user: required where root runs the master: only a "
        "privileged row may run as root"
    ) in folder.problems()


@pytest.mark.parametrize(
    ("name", "user", "problem"),
    [
        (
            "cleanup",
            "mtanet",
            "cleanup must run as mail_owner, mta: queue files belong to that user",
        ),
        ("qmgr", "vmail", "qmgr must run as mail_owner, mta: queue files belong to that user"),
        ("log", "vmail", "log must run as mail_owner, mta: the folder of the mail log is open to "),
        ("smtp", "mta", "what talks to the network must not run as mail_owner, mta"),
    ],
)
def test_rows_that_run_as_the_wrong_user(
    folder: ConfigurationFolder, name: str, user: str, problem: str
) -> None:
    folder.services(f"profile: hub\nservices:\n  {name}: {{user: {user}}}\n")
    text = f"services.yml:3:{len(name) + 12}: services.{name}.user: {problem}"
    (found,) = folder.problems()
    assert found.startswith(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90.0),
        ("1.5", 1.5),
        ("100s", 100.0),
        ("5m", 300.0),
        ("0.5h", 1800.0),
        ("1w", 604800.0),
    ],
)
def test_durations(folder: ConfigurationFolder, text: str, seconds: float) -> None:
    folder.main(f"smtpd_timeout: {text}\n")
    folder.services(row(f"max_idle: {text}, settings: {{ipc_timeout: {text}}}"))
    configuration = folder.compile()
    smtp = configuration.snapshot(1, 0).service("smtp")
    assert configuration.parameters.smtpd_timeout == seconds
    assert smtp.max_idle == seconds
    assert smtp.settings == {"ipc_timeout": seconds}


def test_rows_are_merged_by_name(folder: ConfigurationFolder) -> None:
    folder.services(
        """\
profile: hub
services:
  cleanup: {client_limit: 7}
  virtual: {enabled: false}
  smtp:
  submission:
    daemon: smtpd
    user: mtanet
    listen: ["inet:127.0.0.1:2587"]
    settings: {mynetworks: [10.0.0.0/8]}
"""
    )
    services = {service.name: service for service in folder.compile().services}
    profile = ("log", "qmgr", "smtp", "cleanup", "rewrite", "resolver", "outbound", "lmtp")
    assert list(services) == [*profile, "bounce", "error", "discard", "submission"]
    assert services["cleanup"].client_limit == 7
    assert services["cleanup"].listen == ("ipc:private/cleanup",)  # what the profile says
    assert services["submission"].numprocs == 1  # what the defaults say
    assert services["submission"].settings == {"mynetworks": ("10.0.0.0/8",)}


@pytest.mark.parametrize("profile", profiles())
def test_every_profile_is_valid_as_it_is(folder: ConfigurationFolder, profile: str) -> None:
    folder.services(f"profile: {profile}\n")
    assert folder.compile().services


def test_daemons_are_known_without_being_imported() -> None:
    assert {"log", "qmgr", "smtpd", "cleanup", "rewrite", "resolver", "virtual"} <= daemons()
