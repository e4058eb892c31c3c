"""Every mistake in main.yml and services.yml is told with its place and the way out."""

import pytest
from support.configuration import ConfigurationFolder

from mta.config.table import daemons, profiles
from mta.config.users import lacking

PROFILES = " or ".join(profiles())


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
                "5:20: main.virtual_transport: expected the name of a row, or ROW:NEXTHOP, got a "
                "mapping"
            ),
        ),
        (
            "default_transport:",
            "5:19: main.default_transport: expected the name of a row, or ROW:NEXTHOP, got nothing",
        ),
        (
            "mesage_size_limit: 5000",
            (
                "5:1: main.mesage_size_limit: expected the name of a parameter, got "
                '"mesage_size_limit"; did you mean "message_size_limit"?'
            ),
        ),
        (
            "xyzzy: 1",
            '5:1: main.xyzzy: expected the name of a parameter, got "xyzzy"',
        ),
        (
            "mynetworks: [10.0.0.1/8]",
            (
                "5:14: main.mynetworks[0]: expected a network ADDRESS/LENGTH without host bits, "
                'got "10.0.0.1/8"; did you mean "10.0.0.0/8"?'
            ),
        ),
        (
            "dns_servers: [192.0.2.1, ns.example.org]",
            '5:26: main.dns_servers[1]: expected ADDRESS or [ADDRESS]:PORT, got "ns.example.org"',
        ),
        (
            "minimal_backoff_time: 2h",
            (
                "5:23: main.minimal_backoff_time: expected at most maximal_backoff_time, 4000s, "
                "got 7200s"
            ),
        ),
        (
            "maximal_backoff_time: 60",
            (
                "5:23: main.maximal_backoff_time: expected at least minimal_backoff_time, 300s, "
                "got 60s"
            ),
        ),
        (
            "virtual_mailbox_domains: [a.test]\nvirtual_transport: virtuall",
            (
                "6:20: main.virtual_transport: expected a row of the service table (bounce, "
                "cleanup, discard, error, lmtp, local, log, lookup, mailuser, outbound, pickup, "
                "qmgr, resolver, rewrite, showq, smtp, "
                'virtual), got "virtuall"; did you mean "virtual"?'
            ),
        ),
        (
            "relay_domains: [a.test]\nrelay_transport: relay",
            (
                "6:18: main.relay_transport: expected a row of the service table (bounce, cleanup, "
                "discard, error, lmtp, local, log, lookup, mailuser, outbound, pickup, qmgr, "
                "resolver, rewrite, showq, smtp, "
                'virtual), got "relay"'
            ),
        ),
        (
            'relay_domains: [a.test]\nrelay_transport: ""',
            (
                "6:18: main.relay_transport: expected the name of a row, for relay_domains has "
                "domains, got nothing"
            ),
        ),
        (
            "relay_transport: outbound:[mx.test]:0",
            "5:18: main.relay_transport: expected a port from 1 to 65535, got '[mx.test]:0'",
        ),
        (
            "relay_domains: [b.test, a.test]\nvirtual_mailbox_domains: [a.test]",
            (
                "5:25: main.relay_domains[1]: expected a domain that is not in "
                'virtual_mailbox_domains, got "a.test"; take it out of one of the two'
            ),
        ),
        (
            "default_transport: rewriter",
            (
                "5:20: main.default_transport: expected a row of the service table (bounce, "
                "cleanup, discard, error, lmtp, local, log, lookup, mailuser, outbound, pickup, "
                "qmgr, resolver, rewrite, showq, smtp, "
                'virtual), got "rewriter"; did you mean "rewrite"?'
            ),
        ),
        (
            "default_transport: smtp",
            (
                "5:20: main.default_transport: expected a row that listens on ipc:private/smtp, "
                "got smtp, which listens on inet:127.0.0.1:2525"
            ),
        ),
        (
            "default_transport: outbound:[mx.test]:0",
            "5:20: main.default_transport: expected a port from 1 to 65535, got '[mx.test]:0'",
        ),
        (
            "default_transport: outbound:unix:/run/lmtp",
            (
                "5:20: main.default_transport: expected DOMAIN, [HOST] or [HOST]:PORT, got "
                '"unix:/run/lmtp"'
            ),
        ),
        (
            "virtual_transport: lmtp:inet:store",
            "5:20: main.virtual_transport: expected a port from 1 to 65535, got 'inet:store'",
        ),
        (
            "virtual_transport: 'lmtp:unix:'",
            "5:20: main.virtual_transport: expected unix:PATH, got 'unix:'",
        ),
        (
            "relayhost: unix:/run/lmtp",
            '5:12: main.relayhost: expected DOMAIN, [HOST] or [HOST]:PORT, got "unix:/run/lmtp"',
        ),
        (
            "smtp_fallback_relay: [a.test, '[b.test']",
            "5:31: main.smtp_fallback_relay[1]: expected [HOST] or [HOST]:PORT, got '[b.test'",
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
                "3:20: services.smtp.numprocs: expected an integer of at least 1 and at most "
                '1000, got "four"'
            ),
        ),
        (
            "numproc: 4",
            (
                '3:10: services.smtp.numproc: expected a key of a row, got "numproc"; did you '
                'mean "numprocs"?'
            ),
        ),
        (
            "restart: sometimes",
            '3:19: services.smtp.restart: expected always, never or on_demand, got "sometimes"',
        ),
        (
            "enabled: no",
            '3:19: services.smtp.enabled: expected true or false, got "no"',
        ),
        (
            "name: other",
            (
                '3:10: services.smtp.name: expected a key of a row, got "name"; the row\'s key '
                "is its name"
            ),
        ),
        (
            "max_idle: -1s",
            (
                "3:20: services.smtp.max_idle: expected a duration of at least 0s and at most "
                '31622400s (100, 100s, 5m, 4h, 5d, 1w), got "-1s"'
            ),
        ),
        (
            "daemon: smptd",
            (
                "3:18: services.smtp.daemon: expected a daemon (a module of mta.daemons), or a "
                'command in its place, got "smptd"; did you mean "smtpd"?'
            ),
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
                "3:19: services.smtp.listen[0]: expected a literal IPv4 or [IPv6] address, got "
                "'127.0.0.1.1'"
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
                "3:19: services.smtp.listen[0]: expected a place that no row has yet "
                "(services.cleanup has this one), got ipc:private/cleanup"
            ),
        ),
        (
            'listen: ["inet:[::1]:25", "inet:[0::1]:25"]',
            (
                "3:36: services.smtp.listen[1]: expected a place that no row has yet "
                "(services.smtp has this one), got inet:[0::1]:25"
            ),
        ),
        (
            'listen: ["inet:127.0.0.1:25", "inet:0.0.0.0:25"]',
            (
                "3:40: services.smtp.listen[1]: expected an address that can be bound beside "
                "inet:127.0.0.1:25 of services.smtp, got inet:0.0.0.0:25"
            ),
        ),
        (
            'listen: ["inet:[::]:25", "inet:0.0.0.0:25", "inet:[::1]:25", "inet:0.0.0.0:26"]',
            (
                "3:54: services.smtp.listen[2]: expected an address that can be bound beside "
                "inet:[::]:25 of services.smtp, got inet:[::1]:25"
            ),
        ),
        (
            'listen: ["inet:[::ffff:127.0.0.1]:25"]',
            (
                "3:19: services.smtp.listen[0]: expected the IPv4 address itself, "
                "inet:127.0.0.1:25, got inet:[::ffff:127.0.0.1]:25"
            ),
        ),
        (
            'listen: ["unix:private/x", "ipc:private/x"]',
            (
                "3:37: services.smtp.listen[1]: expected a place that no row has yet "
                "(services.smtp has this one), got ipc:private/x"
            ),
        ),
        (
            "settings: {smtpd_timeot: 5}",
            (
                "3:21: services.smtp.settings.smtpd_timeot: expected the name of a parameter, "
                'got "smtpd_timeot"; did you mean "smtpd_timeout"?'
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
                "3:21: services.smtp.settings.queue_directory: expected a parameter that a row "
                'may have for itself, got "queue_directory"; set it in main.yml'
            ),
        ),
        (
            "settings: {maximal_backoff_time: 1s, minimal_backoff_time: 2s}",
            (
                "3:69: services.smtp.settings.minimal_backoff_time: expected at most "
                "maximal_backoff_time, 1s, got 2s"
            ),
        ),
        (
            "user: root",
            (
                "3:16: services.smtp.user: expected another user, for only a row with "
                "privileged: true may run as root, got root"
            ),
        ),
        (
            "min_free: 11",
            "3:20: services.smtp.min_free: expected at most numprocs, 10, got 11",
        ),
        (
            "listen: []",
            (
                "3:9: services.smtp: expected a row that something starts, got one that nothing "
                "would ever start; give it listen, wakeup, min_free or restart: always"
            ),
        ),
        (
            "command: [python3, -V]",
            '3:20: services.smtp.command[0]: expected an absolute path of a program, got "python3"',
        ),
        (
            "command: [/bin/echo, 'a ;b']",
            (
                '3:31: services.smtp.command[1]: expected text without control characters, "%(", '
                'or a blank at an end or before ";" or "#" (supervisord.conf cannot hold those), '
                'got "a ;b"'
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
        (
            "",
            f"1:1: profile: expected {PROFILES}, got nothing; write profile: hub",
        ),
        (
            "services: {}\n",
            f"1:1: profile: expected {PROFILES}, got nothing; write profile: hub",
        ),
        (
            "profile: hubb\n",
            f'1:10: profile: expected {PROFILES}, got "hubb"; did you mean "hub"?',
        ),
        (
            "profile: hub\nservice: {}\n",
            '2:1: service: expected profile or services, got "service"; did you mean "services"?',
        ),
        (
            "- hub\n",
            "1:1: expected a mapping, got a list",
        ),
        (
            "profile: hub\nservices: []\n",
            "2:11: services: expected a mapping, got a list",
        ),
        (
            "profile: hub\nservices: {smtp: 4}\n",
            "2:18: services.smtp: expected a mapping, got 4",
        ),
        (
            "profile: hub\nservices: {Smtp2: {daemon: smtpd, wakeup: 1}}\n",
            '2:12: services.Smtp2: expected a short lower-case name, got "Smtp2"',
        ),
        (
            "profile: hub\nservices: {reload_: {daemon: smtpd, wakeup: 1}}\n",
            (
                '2:12: services.reload_: expected another name, got "reload_"; this one is the '
                "master's own"
            ),
        ),
        (
            "profile: hub\nservices: {virtul: {enabled: false}}\n",
            (
                "2:12: services.virtul.daemon: expected a daemon (bounce, cleanup, discard, "
                "error, lmtp, local, log, lookup, mailuser, pickup, pipe, qmgr, resolver, rewrite, "
                "showq, smtp, smtpd, virtual), for "
                'the profile has no row virtul, got nothing; did you mean "virtual"?'
            ),
        ),
        (
            "profile: hub\nservices: {qmgr: {numprocs: 2}}\n",
            "2:29: services.qmgr.numprocs: expected 1, for qmgr can only run as one process, got 2",
        ),
        (
            "profile: hub\nservices: {log: {numprocs: 2}}\n",
            "2:28: services.log.numprocs: expected 1, for log can only run as one process, got 2",
        ),
        (
            'profile: hub\nservices: {other: {daemon: log, listen: ["pipe:log"]}}\n',
            (
                "2:42: services.other.listen[0]: expected a place that no row has yet "
                "(services.log has this one), got pipe:log"
            ),
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


def test_places_where_debian_has_them(folder: ConfigurationFolder) -> None:
    (folder.directory / "main.yml").write_text("myhostname: posthouse.test\n")
    parameters = folder.compile().parameters
    assert parameters.queue_directory == "/var/spool/posthouse"
    assert parameters.log_file == "/var/log/posthouse/mail.log"


def test_mailboxes_need_a_place(folder: ConfigurationFolder) -> None:
    folder.main("virtual_mailbox_domains: [posthouse.test]\n")
    folder.compile()
    text = (folder.directory / "main.yml").read_text().replace("virtual_mailbox_base", "#")
    (folder.directory / "main.yml").write_text(text)
    assert folder.problems() == [
        (
            "main.yml:1:1: main.virtual_mailbox_base: expected an absolute path, for "
            "virtual_mailbox_domains has domains, got nothing"
        )
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
            "main.yml:1:1: main.myhostname: expected a domain name in lower case, got this host's "
            'name, "my_host"; set myhostname'
        )
    ]


def lacks_of(folder: ConfigurationFolder) -> list[str]:
    """What this host lacks, were root to run the master."""
    configuration = folder.compile()
    return [
        f"{configuration.place_of(lack.name)}: {lack.name}: {lack.found}; {lack.suggestion}"
        for lack in lacking(configuration.parameters, configuration.services)
    ]


def test_root_needs_users_that_exist(folder: ConfigurationFolder) -> None:
    folder.services(row("user: nobody-here"))
    assert (
        "services.yml:3:16: services.smtp.user: no user nobody-here; roll out the role users, or "
        "adduser --system --group --no-create-home nobody-here"
    ) in lacks_of(folder)
    folder.main("mail_owner: no-owner\nprivate_group: no-group\n")
    rows = "".join(
        f"  {name}: {{user: no-owner}}\n" for name in ("log", "qmgr", "cleanup", "showq")
    )
    folder.services(f"profile: hub\nservices:\n{rows}  bounce: {{user: no-owner}}\n")
    assert [lack for lack in lacks_of(folder) if lack.startswith("main.yml")] == [
        (
            "main.yml:5:13: main.mail_owner: no user no-owner; roll out the role users, or "
            "adduser --system --group --no-create-home no-owner"
        ),
        (
            "main.yml:6:16: main.private_group: no group no-group; roll out the role users, or "
            "addgroup --system no-group"
        ),
    ]


@pytest.mark.requires("root")
def test_who_asks_for_the_places_of_mailboxes_must_reach_lookup(
    folder: ConfigurationFolder,
) -> None:
    """Tables that answer at once are read by the row itself."""
    folder.services("profile: hub\nservices:\n  virtual: {user: nobody}\n")
    folder.main('virtual_mailbox_maps: ["static:all/"]\n')
    assert lacks_of(folder) == []
    folder.main('virtual_mailbox_maps: ["socketmap:inet:127.0.0.1:2600:places"]\n')
    assert lacks_of(folder) == [
        "main.yml:1:1: main.private_group: mtaprivate; adduser nobody mtaprivate"
    ]


@pytest.mark.requires("root")
def test_who_takes_mail_in_must_reach_the_other_daemons(folder: ConfigurationFolder) -> None:
    folder.services(row("user: nobody"))
    assert lacks_of(folder) == [
        "main.yml:1:1: main.private_group: mtaprivate; adduser nobody mtaprivate"
    ]


def test_root_needs_a_user_for_each_row(folder: ConfigurationFolder) -> None:
    folder.services(row('user: ""'))
    assert "services.yml:3:16: services.smtp.user: nothing; " in lacks_of(folder)


@pytest.mark.parametrize(
    ("name", "user", "problem"),
    [
        (
            "cleanup",
            "mtanet",
            "expected mail_owner, mta: queue files belong to that user, got mtanet",
        ),
        ("qmgr", "vmail", "expected mail_owner, mta: queue files belong to that user, got vmail"),
        (
            "log",
            "vmail",
            "expected mail_owner, mta: the folder of the mail log is open to that user",
        ),
        (
            "smtp",
            "mta",
            "expected another user than mail_owner, mta: it talks to the network, got mta",
        ),
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
    profile = (
        "log",
        "qmgr",
        "smtp",
        "pickup",
        "showq",
        "cleanup",
        "rewrite",
        "lookup",
        "resolver",
        "outbound",
        "lmtp",
        "local",
    )
    assert list(services) == [*profile, "mailuser", "bounce", "error", "discard", "submission"]
    assert services["cleanup"].client_limit == 7
    assert services["cleanup"].listen == ("ipc:private/cleanup",)  # what the profile says
    assert services["submission"].numprocs == 1  # what the defaults say
    assert services["submission"].settings == {"mynetworks": ("10.0.0.0/8",)}


def test_an_item_of_a_rows_list_where_main_has_a_shorter_one(folder: ConfigurationFolder) -> None:
    folder.main("proxy_interfaces: []\n")
    folder.services(
        "profile: hub\nservices:\n"
        "  outbound:\n    settings: {proxy_interfaces: [192.0.2.1, '00']}\n"
    )
    (problem,) = folder.problems()
    assert problem == (
        "services.yml:4:46: services.outbound.settings.proxy_interfaces[1]: expected an IPv4 or "
        'IPv6 address, got "00"'
    )


def test_daemons_are_known_without_being_imported() -> None:
    assert {
        "log",
        "qmgr",
        "smtpd",
        "cleanup",
        "rewrite",
        "local",
        "lookup",
        "resolver",
        "virtual",
    } <= daemons()
