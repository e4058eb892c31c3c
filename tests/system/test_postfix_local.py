"""Local delivery as Postfix does it: the same letters, users, aliases and .forward files.

Compared are the files that are left, with what final delivery puts before a message, the addresses
of other domains that mail went to, and the codes of what failed.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from support.debian import PackageUnavailable
from support.folders import reachable_folder
from support.instance import Instance
from support.local_pair import Case, LocalPair
from support.people import people

pytestmark = pytest.mark.requires("root", "unshare", "nsenter", "setpriv", "useradd")

BOX = "%base%/open/box"
Cases = dict[str, Case]

CASES = {
    "mailbox": Case("%ann%"),
    "mailbox with an extension": Case("%ann%+x"),
    "unknown": Case("nobody-knows"),
    "alias of a user": Case("a1", {"a1": "%ann%"}),
    "alias of two, one of them twice": Case("a2", {"a2": "%ann%, %bob%, %ann%"}),
    "alias with an extension": Case("a3+x", {"a3": "%ann%", "a3+x": "%bob%"}),
    "alias without the extension": Case("a4+x", {"a4": "x@far.test"}),
    "alias in upper case": Case("A5", {"a5": "%ann%"}),
    "alias of an alias": Case("a6", {"a6": "a6b", "a6b": "%ann%, x@far.test"}),
    "alias of itself and another": Case("a7", {"a7": "a7, x@far.test"}),
    "user who is an alias of himself": Case("%bob%+a8", {"%bob%+a8": "%bob%, x@far.test"}),
    "aliases in circles": Case("a9", {"a9": "a9b", "a9b": "a9"}),
    "alias of nobody": Case("a10", {"a10": "nobody-knows"}),
    "alias of nobody and somebody": Case("a11", {"a11": "nobody-knows, %ann%"}),
    "alias of other hosts": Case("a12", {"a12": "x@far.test, y@far.test, X@FAR.test"}),
    "alias of a file": Case("a13", {"a13": BOX}),
    "alias of a Maildir": Case("a14", {"a14": f"{BOX}/"}),
    "alias of a command": Case("a15", {"a15": f'"|cat > {BOX}"'}),
    "alias with an owner": Case("a16", {"a16": "%ann%, x@far.test", "owner-a16": "%bob%"}),
    "alias of an alias with an owner": Case(
        "a17", {"a17": "a17b", "owner-a17": "%bob%", "a17b": f"{BOX}"}
    ),
    "a list": Case("a18", {"a18": ":include:%base%/open/l"}, {"open/l": "%ann%\n# no\nx@far.test"}),
    "a list that is not there": Case("a19", {"a19": ":include:%base%/open/none"}),
    "a list that all may write": Case(
        "a20", {"a20": ":include:%base%/open/l"}, {"open/l": "%ann%\n"}, {"open/l": 0o666}
    ),
    "a list with a command": Case(
        "a21", {"a21": ":include:%base%/open/l"}, {"open/l": f'"|cat > {BOX}"'}
    ),
    "a list with a file": Case("a22", {"a22": ":include:%base%/open/l"}, {"open/l": BOX}),
    "a list without a path": Case("a23", {"a23": ":include:l"}),
    "a list that holds itself": Case("a24", {"a24": ":include:%base%/open/l"}, {"open/l": "a24"}),
    "an address with a comment": Case("a25", {"a25": "%ann% (that is Ann), <x@far.test>"}),
    "a forward to another host": Case("%ann%", {}, {"%ann%/.forward": "x@far.test\n"}),
    "a forward to himself, too": Case("%ann%", {}, {"%ann%/.forward": "%ann%, x@far.test\n"}),
    "a forward to another user": Case("%ann%", {}, {"%ann%/.forward": "%bob%\n"}),
    "forwards in circles": Case(
        "%ann%", {}, {"%ann%/.forward": "%bob%\n", "%bob%/.forward": "%ann%\n"}
    ),
    "a forward without anything": Case("%ann%", {}, {"%ann%/.forward": "# x@far.test\n"}),
    "a forward that all may write": Case(
        "%ann%", {}, {"%ann%/.forward": "x@far.test\n"}, {"%ann%/.forward": 0o666}
    ),
    "a forward to a file": Case("%ann%", {}, {"%ann%/.forward": "%base%/%ann%/box\n"}),
    "a forward to a Maildir": Case("%ann%", {}, {"%ann%/.forward": "%base%/%ann%/box/\n"}),
    "a forward to a command": Case("%ann%", {}, {"%ann%/.forward": '"|cat > %base%/%ann%/box"\n'}),
    "a forward to a list": Case(
        "%ann%",
        {},
        {"%ann%/.forward": ":include:%base%/%ann%/l\n", "%ann%/l": "x@far.test\n%bob%\n"},
    ),
    "a forward for an extension": Case(
        "%ann%+x", {}, {"%ann%/.forward+x": "x@far.test\n", "%ann%/.forward": "y@far.test\n"}
    ),
    "a forward for all extensions": Case(
        "%ann%+y", {}, {"%ann%/.forward+x": "x@far.test\n", "%ann%/.forward": "y@far.test\n"}
    ),
    "an alias of his in a forward": Case(
        "%ann%", {"a26": "%ann%"}, {"%ann%/.forward": "a26, x@far.test\n"}
    ),
    "an alias of a user who forwards": Case(
        "a27", {"a27": "%ann%"}, {"%ann%/.forward": "x@far.test\n"}
    ),
} | {
    f"a command that ends with {status}": Case(
        f"e{status}", {f"e{status}": f'"|cat > /dev/null; exit {status}"'}
    )
    for status in (1, *range(64, 79), 127)
} | {
    f"a command that says {said}": Case(
        f"s{number}", {f"s{number}": f'"|cat > /dev/null; echo {said}; exit 1"'}
    )
    for number, said in enumerate(("4.2.2 full", "5.7.1 no", "2.0.0 fine", "no code"))
} | {
    "a command that kills itself": Case("k9", {"k9": '"|cat > /dev/null; kill -9 $$"'}),
}  # fmt: skip


MAILDIRS = {
    "mail_spool_directory": "%base%/spool/",
    "luser_relay": "%ann%+$local",
    "propagate_unmatched_extensions": "alias, forward, include",
    "allow_mail_to_commands": "alias, include",
    "allow_mail_to_files": "alias, include",
    "expand_owner_alias": "yes",
    "recipient_delimiter": "-+",
}
MAILDIR_CASES = {
    "mailbox": Case("%ann%"),
    "nobody has a relay": Case("nobody-knows"),
    "an alias with an extension": Case("b1+x", {"b1": "%ann%, y@far.test"}),
    "an alias with another delimiter": Case("b2-x", {"b2": "%ann%, y@far.test"}),
    "a forward with an extension": Case("%ann%+x", {}, {"%ann%/.forward": "x@far.test\n"}),
    "a forward of an extension": Case("%ann%+x", {}, {"%ann%/.forward+x": "x@far.test\n"}),
    "a list with an extension": Case(
        "b3+x", {"b3": ":include:%base%/open/l"}, {"open/l": "%ann%\nx@far.test\n"}
    ),
    "a list with a command": Case(
        "b4", {"b4": ":include:%base%/open/l"}, {"open/l": f'"|cat > {BOX}"'}
    ),
    "a list with a file": Case("b5", {"b5": ":include:%base%/open/l"}, {"open/l": BOX}),
    "a forward to a command": Case("%ann%", {}, {"%ann%/.forward": '"|cat > %base%/%ann%/box"\n'}),
    "a forward to a file": Case("%ann%", {}, {"%ann%/.forward": "%base%/%ann%/box\n"}),
    "an owner who is expanded": Case("b6", {"b6": "%ann%, x@far.test", "owner-b6": "%bob%"}),
    "an owner's mail": Case("owner-b7", {"b7": "x@far.test", "owner-b7": "%bob%"}),
    "a request": Case("b8-request", {"b8": "x@far.test", "b8-request": "%bob%"}),
}  # fmt: skip

COMMANDS = {
    "mailbox_command": "echo $USER $LOGNAME $LOCAL $EXTENSION $DOMAIN $RECIPIENT "
    "$ORIGINAL_RECIPIENT $SENDER $CLIENT_ADDRESS $CLIENT_HELO $CLIENT_PROTOCOL > "
    "%base%/open/seen; cat >> %base%/open/seen",
    "owner_request_special": "no",
    "fallback_transport": "error:5.7.0 no",
}
COMMAND_CASES = {
    "a command in place of a mailbox": Case("%ann%+X.y"),
    "a command for strange characters": Case('"%ann%+$(x);`y`"'),
    "a row for nobody": Case("nobody-knows"),
    "an owner who is none": Case("c1", {"c1": "%ann%, x@far.test", "owner-c1": "%bob%"}),
}
ALL = [
    *((CASES, {}, name) for name in CASES),
    *((MAILDIR_CASES, MAILDIRS, name) for name in MAILDIR_CASES),
    *((COMMAND_CASES, COMMANDS, name) for name in COMMAND_CASES),
]


@pytest.fixture(scope="module")
def pairs() -> Iterator[Callable[[Cases, dict[str, str]], LocalPair]]:
    """Both of them under some parameters, for as long as these stay the same."""
    with ExitStack() as stack:
        running: list[object] = []

        def make(cases: Cases, parameters: dict[str, str]) -> LocalPair:
            if running[:1] != [parameters]:
                stack.close()
                running[:] = [parameters, stack.enter_context(_pair(cases, parameters))]
            assert isinstance(running[1], LocalPair)
            return running[1]

        yield make


@contextmanager
def _pair(cases: Cases, parameters: dict[str, str], *, listed: bool = False) -> Iterator[LocalPair]:
    with reachable_folder() as folder, people(folder, 2) as persons:
        instance = Instance(folder / "house")
        try:
            with LocalPair(instance, folder, persons) as made:
                made.start([*cases.values()], parameters, listed=listed)
                yield made
        except PackageUnavailable as error:
            pytest.skip(str(error))
        finally:
            instance.close()


@pytest.mark.parametrize(
    ("cases", "parameters", "name"), ALL, ids=lambda it: it if isinstance(it, str) else ""
)
def test_as_postfix_does(
    pairs: Callable[[Cases, dict[str, str]], LocalPair],
    cases: Cases,
    parameters: dict[str, str],
    name: str,
) -> None:
    theirs, ours = pairs(cases, parameters).post(cases[name])
    assert ours == theirs
    assert ours.files or ours.sent or ours.failed, "nothing was compared"


NAMED = {
    **dict.fromkeys(("%ann%", "%ann%+x", "ROOT", "d1", "D1+x", "postmaster"), "250 2.1.5"),
    **dict.fromkeys(("nobody-knows", "nobody-knows+x", "d1x", '"a b"'), "550 5.1.1"),
}


def test_who_may_be_named() -> None:
    """By default the users and the aliases, with whatever extension (local_recipient_maps)."""
    with _pair({"alias": Case("d1", {"d1": "%ann%"})}, {}, listed=True) as pair:
        assert {to: pair.name(to) for to in NAMED} == {to: (it, it) for to, it in NAMED.items()}
