"""What main.yml may say of addresses, beyond the types: domains of one class, carriers, copies."""

import pytest
from support.configuration import ConfigurationFolder
from support.profile import ENOUGH


@pytest.mark.parametrize(
    ("text", "name", "problem"),
    [
        (
            "mydestination: [a.b]\nlocal_transport: virtual\nvirtual_mailbox_domains: [a.b]\n",
            "virtual_mailbox_domains[0]",
            'a domain that is not in mydestination, got "a.b"',
        ),
        (
            "virtual_alias_domains: [b.test, a.test]\nrelay_domains: [c.test, a.test]\n",
            "relay_domains[1]",
            'a domain that is not in virtual_alias_domains, got "a.test"',
        ),
        (
            "mydestination: [a.test]\nlocal_transport: ''\n",
            "local_transport",
            "the name of a row, for mydestination has domains, got nothing",
        ),
        (
            "mydestination: [a.test]\nlocal_transport: nowhere\n",
            "local_transport",
            "a row of the service table",
        ),
        (
            "mailbox_transport: lmpt:unix:/l\n",
            "mailbox_transport",
            "a row of the service table",
        ),
        (
            "fallback_transport: nowhere\n",
            "fallback_transport",
            "a row of the service table",
        ),
        (
            "forward_path: [$home/.forward, '${home']\n",
            "forward_path[1]",
            "a closing brace, got '{home'",
        ),
        (
            "luser_relay: $1@far.test\n",
            "luser_relay",
            "a name after $, got '$1@far.test'",
        ),
        (
            "alias_maps: ['inline:{a=b}', 'pcre:{{/(.*)/ |prog $1}}']\n",
            "alias_maps[1]",
            "a table of names: one of patterns is never asked for an alias",
        ),
        (
            "command_execution_directory: $home/${user\n",
            "command_execution_directory",
            "a closing brace, got '{user'",
        ),
        (
            "command_execution_directory: srv/$user\n",
            "command_execution_directory",
            'an absolute path, or $home, got "srv/$user"',
        ),
        (
            "default_privs: root\n",
            "default_privs",
            "a user without rights, such as nobody, got root",
        ),
        (
            "always_bcc: a@b@c\n",
            "always_bcc",
            'an address, or nothing, got "a@b@c"',
        ),
        (
            "local_header_rewrite_clients: [127.0.0.1/8]\n",
            "local_header_rewrite_clients[0]",
            "a network ADDRESS/LENGTH without host bits",
        ),
        (
            "masquerade_exceptions: ['']\n",
            "masquerade_exceptions[0]",
            "a local part",
        ),
        (
            "canonical_classes: [envelope]\n",
            "canonical_classes[0]",
            "envelope_recipient",
        ),
        (
            "recipient_delimiter: '+ '\n",
            "recipient_delimiter",
            "up to eight characters",
        ),
    ],
)
def test_mistakes(folder: ConfigurationFolder, text: str, name: str, problem: str) -> None:
    folder.main(text)
    found = [each for each in folder.problems() if f"main.{name}: expected {problem}" in each]
    assert len(found) == 1, folder.problems()


def test_local_users_whom_nobody_lists_are_told_of(folder: ConfigurationFolder) -> None:
    """Mail for those who do not exist would be returned, to senders who are often forged."""
    folder.main("mydestination: [a.test]\nlocal_recipient_maps: []\n")
    (warning,) = folder.compile().warnings
    assert "main.local_recipient_maps: expected tables of all users and aliases" in str(warning)
    folder.main("mydestination: [a.test]\nlocal_recipient_maps: ['unix:passwd.byname']\n")
    assert not folder.compile().warnings


@pytest.mark.parametrize(
    ("main", "services", "listed"),
    [
        ("mydestination: [a.test]", "hub", ("unix:passwd.byname",)),
        (
            "mydestination: [a.test]\nalias_maps: ['inline:{a=b}']",
            "hub",
            ("unix:passwd.byname", "inline:{a=b}"),
        ),
        (
            "mydestination: [a.test]\nalias_maps: ['inline:{a=b}']",
            "hub\nservices: {local: {settings: {alias_maps: ['inline:{c=d}']}}}",
            ("unix:passwd.byname", "inline:{c=d}"),
        ),
        ("mydestination: [a.test]\nlocal_recipient_maps: []", "hub", ()),
        (
            "mydestination: [a.test]\nlocal_recipient_maps: ['inline:{a=b}']",
            "hub",
            ("inline:{a=b}",),
        ),
        ("mydestination: []", "hub", ()),
        ("mydestination: [a.test]\nlocal_transport: lmtp:unix:/run/lmtp", "hub", ()),
        ("mydestination: [a.test]\nlocal_transport: outbound:[hub.test]", "relay", ()),
        ("mydestination: [a.test]\nlocal_transport: outbound:[hub.test]", "null_client", ()),
    ],
)
def test_who_exists_if_nobody_says(
    folder: ConfigurationFolder, main: str, services: str, listed: tuple[str, ...]
) -> None:
    """Postfix's default, but for houses that deliver to no user of the host."""
    profile = services.partition("\n")[0]
    folder.main(f"{ENOUGH[profile]}{main}\n")
    folder.services(f"profile: {services}\n")
    assert folder.compile().parameters.local_recipient_maps == listed


def test_somebody_must_say_who_is_a_user(folder: ConfigurationFolder) -> None:
    folder.main("mydestination: [a.test]\n")
    folder.services("profile: hub\nservices: {lookup: {enabled: false}}\n")
    (problem,) = folder.problems()
    assert "main.local_recipient_maps: expected a row lookup" in problem


@pytest.mark.parametrize(
    "relay",
    [
        "luser_relay: x@far.test",
        "fallback_transport: lmtp:unix:/run/lmtp",
        "fallback_transport_maps: ['inline:{a=lmtp}']",
    ],
)
def test_a_relay_for_nobody_needs_that_nobody_is_let_in(
    folder: ConfigurationFolder, relay: str
) -> None:
    """postconf(5), luser_relay: without an empty local_recipient_maps its mail is refused."""
    folder.main(f"mydestination: [a.test]\n{relay}\n")
    (warning,) = folder.compile().warnings
    assert "expected local_recipient_maps to be set" in str(warning)
    folder.main(f"mydestination: [a.test]\n{relay}\nlocal_recipient_maps: ['inline:{{a=b}}']\n")
    assert not folder.compile().warnings
