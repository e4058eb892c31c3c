"""Each profile: what it has, what it asks for, and that every row of it is the operator's."""

import pytest
import yaml
from support.configuration import ConfigurationFolder
from support.profile import ENOUGH, ROWS, SHIPPED

from mta.config.parameters import Parameters
from mta.config.profile import profiles
from mta.config.snapshot import Service
from mta.config.validate import fields_of


def rows_of(folder: ConfigurationFolder) -> dict[str, Service]:
    return {service.name: service for service in folder.compile().services}


def shipped_rows() -> list[tuple[str, str]]:
    return [(profile, row) for profile in sorted(ROWS) for row in sorted(ROWS[profile])]


def test_the_four_profiles() -> None:
    assert set(profiles()) == set(ROWS) == set(ENOUGH)


@pytest.mark.parametrize("profile", sorted(ROWS))
def test_rows_of_a_profile(folder: ConfigurationFolder, profile: str) -> None:
    folder.main(ENOUGH[profile])
    folder.services(f"profile: {profile}\n")
    assert set(rows_of(folder)) == ROWS[profile]


@pytest.mark.parametrize("profile", sorted(ROWS))
def test_a_profile_speaks_of_parameters_that_there_are(profile: str) -> None:
    table = yaml.safe_load((SHIPPED / f"{profile}.yml").read_text())
    assert table.keys() <= {"services", "requires", "refuses"}
    named = {**table.get("requires", {}), **table.get("refuses", {})}
    assert named.keys() <= fields_of(Parameters).keys()
    assert all(isinstance(text, str) and text for text in named.values())


@pytest.mark.parametrize(("profile", "name"), shipped_rows())
def test_every_row_can_be_overridden(folder: ConfigurationFolder, profile: str, name: str) -> None:
    folder.main(ENOUGH[profile])
    folder.services(f"profile: {profile}\n")
    before = rows_of(folder)
    folder.services(f"profile: {profile}\nservices: {{{name}: {{max_idle: 7s}}}}\n")
    after = rows_of(folder)
    assert after[name].max_idle == 7.0
    assert after[name].listen == before[name].listen
    assert {n: row for n, row in after.items() if n != name} == {
        n: row for n, row in before.items() if n != name
    }


@pytest.mark.parametrize(("profile", "name"), shipped_rows())
def test_every_row_can_be_switched_off(
    folder: ConfigurationFolder, profile: str, name: str
) -> None:
    folder.main(ENOUGH[profile])
    folder.services(f"profile: {profile}\nservices: {{{name}: {{enabled: false}}}}\n")
    assert set(rows_of(folder)) == ROWS[profile] - {name}


@pytest.mark.parametrize("profile", sorted(ROWS))
def test_a_row_can_be_added(folder: ConfigurationFolder, profile: str) -> None:
    row = '{daemon: smtpd, user: mtanet, listen: ["inet:127.0.0.1:2587"]}'
    main = ENOUGH[profile]
    if profile == "maildrop_client":  # a table of its own has to say where its mail goes
        main = "default_transport: ''\ndouble_bounce_recipient: postmaster@example.com\n"
    folder.main(main)
    folder.services(f"profile: {profile}\nservices: {{submission: {row}}}\n")
    assert set(rows_of(folder)) == ROWS[profile] | {"submission"}


def test_a_null_client_listens_on_the_loopback_alone(folder: ConfigurationFolder) -> None:
    folder.main(ENOUGH["null_client"])
    folder.services("profile: null_client\n")
    inet = [text for row in rows_of(folder).values() for text in row.listen if "inet:" in text]
    assert inet == ["inet:127.0.0.1:25", "inet:[::1]:25"]


POSTMASTER = (
    "main.double_bounce_recipient: expected an address elsewhere, for mail for this host's "
    'postmaster would come back to it, got "{}@posthouse.test"; name somebody, such as '
    "postmaster@{}, here or in virtual_alias_maps, or set relayhost"
)


@pytest.mark.parametrize(
    ("profile", "main", "problem"),
    [
        (
            "null_client",
            "",
            (
                "1:1: main.relayhost: expected a value, for the profile null_client requires one, "
                'got nothing; all mail goes there, such as "[mail.example.com]"'
            ),
        ),
        (
            "null_client",
            'relayhost: "[a.test]"\ndefault_transport: ""\n',
            (
                "6:20: main.default_transport: expected a value, for the profile null_client "
                "requires one, got nothing; the row that carries the mail there, such as outbound"
            ),
        ),
        (
            "null_client",
            'relayhost: "[a.test]"\nrelay_domains: [b.test]\n',
            (
                "6:16: main.relay_domains: expected nothing, in the profile null_client, got a "
                "value; it takes no mail for others; use the profile relay"
            ),
        ),
        (
            "maildrop_client",
            "virtual_mailbox_domains: [b.test]\n",
            (
                "5:26: main.virtual_mailbox_domains: expected nothing, in the profile "
                "maildrop_client, got a value; nothing is delivered; use the profile hub"
            ),
        ),
        ("relay", "", "1:1: " + POSTMASTER.format("postmaster", "example.com")),
        ("relay", "relay_domains: [b.test]\n", "1:1: " + POSTMASTER.format("postmaster", "b.test")),
        (
            "relay",
            "double_bounce_recipient: ops@Posthouse.test\n",
            "5:26: " + POSTMASTER.format("ops", "example.com"),
        ),
        (
            "relay",
            'default_transport: ""\nrelay_transport: ""\n',
            "1:1: " + POSTMASTER.format("postmaster", "example.com"),
        ),
        (
            "relay",
            "relayhost: '[a.test]'\nvirtual_mailbox_domains: [b.test]\n",
            (
                "1:1: main.virtual_transport: expected a row of the service table (bounce, "
                "cleanup, discard, error, log, lookup, outbound, qmgr, resolver, rewrite, smtp), "
                'got "virtual"'
            ),
        ),
    ],
)
def test_what_does_not_fit_a_profile(
    folder: ConfigurationFolder, profile: str, main: str, problem: str
) -> None:
    folder.main(main)
    folder.services(f"profile: {profile}\n")
    assert folder.problems() == [f"main.yml:{problem}"]


@pytest.mark.parametrize(
    "main",
    [
        "relayhost: '[a.test]'",
        "default_transport: 'outbound:[a.test]'",
        "default_transport: 'error:5.7.1 nothing goes out'",
        "default_transport: ''\nrelay_transport: 'outbound:[hub.test]'",
        "relay_domains: [posthouse.test]\nrelay_transport: 'outbound:[hub.test]'",
        "double_bounce_recipient: postmaster@hub.test",
        "mydestination: [posthouse.test]\nlocal_transport: outbound:[hub.test]",
        "virtual_alias_maps: ['inline:{ {postmaster@posthouse.test = ops@hub.test} }']",
        "transport_maps: ['inline:{ {posthouse.test = outbound:[hub.test]} }']",
    ],
)
def test_ways_for_the_mail_of_a_relays_postmaster(folder: ConfigurationFolder, main: str) -> None:
    folder.main(main + "\n")
    folder.services("profile: relay\n")
    folder.compile()


def test_where_nothing_runs_no_transport_is_asked_for(folder: ConfigurationFolder) -> None:
    folder.main("default_transport: no-such-row\nvirtual_transport: nor-this\n")
    folder.services("profile: maildrop_client\n")
    folder.compile()
