"""Rows that run commands, and parameters of mailboxes: what contradicts itself is said at once."""

import pytest
from support.configuration import ConfigurationFolder

ROW = "profile: hub\nservices:\n  list:\n    daemon: pipe\n"
SOUND = ROW + (
    '    user: vmail\n    listen: ["ipc:private/list"]\n'
    '    settings: {pipe_command: [/bin/cat, "$recipient", "$$5", "${sender}x$(size)"]}\n'
)


def pipe_row(settings: str, user: str = "vmail") -> str:
    return (
        f'{ROW}    user: {user}\n    listen: ["ipc:private/list"]\n    settings: {{{settings}}}\n'
    )


def test_a_sound_row(folder: ConfigurationFolder) -> None:
    folder.main('transport_maps: ["inline:{a@b.test=list:}"]\n')
    folder.services(SOUND)
    assert folder.compile().warnings == ()


IN = "services.list.settings"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            pipe_row('pipe_command: [/bin/cat, "$reciepient"]'),
            (
                f"7:41: {IN}.pipe_command[1]: expected a macro of pipe_command, got "
                '"reciepient"; did you mean "recipient"?'
            ),
        ),
        (
            pipe_row('pipe_command: [/bin/cat, "a $ b"]'),
            (
                f"7:41: {IN}.pipe_command[1]: expected a macro at '$ b': ${{name}}, or $$ for $, "
                'got "a $ b"'
            ),
        ),
        (
            pipe_row("pipe_command: [cat]"),
            f'7:31: {IN}.pipe_command[0]: expected an absolute path of a program, got "cat"',
        ),
        (
            pipe_row("pipe_command: [/bin/cat], pipe_flags: DR"),
            (
                f"7:54: {IN}.pipe_flags: expected pipe_destination_recipient_limit 1, for "
                "pipe_flags has D, got 50"
            ),
        ),
        (
            pipe_row("pipe_command: [/bin/cat], pipe_flags: Z"),
            f'7:54: {IN}.pipe_flags: expected letters of BDFORXhqu.>, got "Z"',
        ),
        (
            pipe_row("pipe_command: [/bin/cat], command_time_limit: 1h"),
            f"7:62: {IN}.command_time_limit: expected less than delivery_timeout, 3600s, got 3600s",
        ),
        (
            pipe_row("pipe_null_sender: x"),
            f"7:15: {IN}: expected pipe_command, for a row of pipe runs one, got nothing",
        ),
        (
            pipe_row("pipe_command: [/bin/cat]", "mta"),
            (
                "5:11: services.list.user: expected a user that has no queue and no host: neither "
                "root nor mail_owner, mta, got mta"
            ),
        ),
    ],
)
def test_mistakes_in_a_row(folder: ConfigurationFolder, text: str, problem: str) -> None:
    folder.services(text)
    assert folder.problems() == [f"services.yml:{problem}"]


@pytest.mark.parametrize("name", ["virtual_uid_maps", "virtual_gid_maps", "virtual_minimum_uid"])
def test_mailboxes_have_one_owner(folder: ConfigurationFolder, name: str) -> None:
    folder.main(f"{name}: 5000\n")
    (problem,) = folder.problems()
    assert problem.endswith(
        f'expected the name of a parameter, got "{name}"; all mailboxes belong to the row\'s '
        "user: services.virtual.user"
    )


def test_a_limit_below_what_is_taken(folder: ConfigurationFolder) -> None:
    folder.main("virtual_mailbox_domains: [posthouse.test]\nvirtual_mailbox_limit: 5000\n")
    (warning,) = folder.compile().warnings
    assert "expected 0, or at least message_size_limit, 10240000" in str(warning)
