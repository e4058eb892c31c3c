"""The lookup daemon, as its clients and the master see it, with real databases and servers."""

import contextlib
import os
import socket
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.lookup_house import LookupHouse
from support.socketmap_server import SILENCE, SocketmapServer, netstring

from mta.ipc.messages import Find, Found, Key, Refused
from mta.lookup.compile import compile_table
from mta.master.channel import Bye
from mta.util.landlock import landlock_abi

sandboxed = pytest.mark.skipif(landlock_abi() < 2, reason="this kernel has no Landlock")
QUERY = "SELECT target FROM aliases WHERE address = '%s'"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A file for a sqlite table, `accounts.cf`, and beside it the database that it names."""
    with contextlib.closing(sqlite3.connect(tmp_path / "accounts.db")) as made:
        made.execute("CREATE TABLE aliases (address TEXT, target TEXT)")
        rows = [("bob@example.org", "bob@example.net"), ("list@example.org", "a@example.net")]
        made.executemany("INSERT INTO aliases VALUES (?, ?)", [*rows, (rows[1][0], "b@x.test")])
        made.commit()
    table = tmp_path / "accounts.cf"
    table.write_text(f"dbpath = {tmp_path}/accounts.db\nquery = {QUERY}\n")
    return table


def answer(name: str, key: str) -> bytes:
    """The servers' answer where a test wants no other."""
    found = {"bob@example.org": "OK robert", "broken": "TEMP out of order"}
    return netstring(found.get(key, "NOTFOUND ") if name == "aliases" else "PERM no such map")


@pytest.fixture
def server() -> Iterator[SocketmapServer]:
    with SocketmapServer(answer) as running:
        yield running


def test_database(database: Path) -> None:
    tables = [f"sqlite:{database}"]
    with LookupHouse({"virtual_alias_maps": tables}) as house:
        assert house.ask("virtual_alias_maps", "nobody", "BOB@example.org") == Found(
            1, "bob@example.net"
        )
        assert house.value("virtual_alias_maps", "list@example.org") == "a@example.net,b@x.test"
        assert house.value("virtual_alias_maps", "bob' OR 'a' = 'a") is None
        assert house.ask("canonical_maps", "bob@example.org") == Found(-1, "")


def test_written_to_while_it_is_open(database: Path) -> None:
    """What another program commits is there at the next look-up."""
    with LookupHouse({"virtual_alias_maps": [f"sqlite:{database}"]}) as house:
        assert house.value("virtual_alias_maps", "new@example.org") is None
        with contextlib.closing(sqlite3.connect(database.with_suffix(".db"))) as writer:
            writer.execute("INSERT INTO aliases VALUES ('new@example.org', 'n@example.net')")
            writer.commit()
            assert house.value("virtual_alias_maps", "new@example.org") == "n@example.net"


@sandboxed
def test_database_in_wal_mode(database: Path) -> None:
    """Reading needs the files beside it, which the daemon may not make."""
    with contextlib.closing(sqlite3.connect(database.with_suffix(".db"))) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
    with LookupHouse({"virtual_alias_maps": [f"sqlite:{database}"]}) as house:
        house.reason("virtual_alias_maps", "bob@example.org")
        with contextlib.closing(sqlite3.connect(database.with_suffix(".db"))) as writer:
            writer.execute("UPDATE aliases SET target = 'new' WHERE address = 'bob@example.org'")
            writer.commit()
            assert house.value("virtual_alias_maps", "bob@example.org") == "new"


@pytest.mark.parametrize("over", ["tcp", "unix"])
def test_server(short_path: Path, over: str) -> None:
    path = short_path / "map" if over == "unix" else None
    with SocketmapServer(answer, path) as server:
        tables = [f"socketmap:{server.address}:aliases"]
        with LookupHouse({"virtual_alias_maps": tables}) as house:
            assert house.value("virtual_alias_maps", "bob@example.org") == "robert"
            assert house.value("virtual_alias_maps", "nobody@example.org") is None
            assert "TEMP out of order" in house.reason("virtual_alias_maps", "broken")
            # Parts of addresses are not asked for, as of Postfix.
            assert house.ask("virtual_alias_maps", "bob", partial=True) == Found(-1, "")
        assert ("aliases", "bob") not in server.served


def test_tables_within_tables(server: SocketmapServer, database: Path) -> None:
    asked = f"socketmap:{server.address}:aliases"
    union = f"unionmap:{{{asked}, sqlite:{database}, static:all}}"
    pipe = f"pipemap:{{inline:{{bob=bob@example.org}}, {asked}}}"
    with LookupHouse({"virtual_alias_maps": [pipe, union]}) as house:
        assert house.value("virtual_alias_maps", "bob") == "robert"
        assert house.value("virtual_alias_maps", "bob@example.org") == "robert,bob@example.net,all"
        assert house.value("virtual_alias_maps", "nobody") == "all"
        assert asked in house.reason("virtual_alias_maps", "broken")


def test_server_started_anew(server: SocketmapServer) -> None:
    """A connection that the server has closed costs nobody anything."""
    with LookupHouse({"virtual_alias_maps": [f"socketmap:{server.address}:aliases"]}) as house:
        for _ in range(3):
            assert house.value("virtual_alias_maps", "bob@example.org") == "robert"
        assert server.connections == 1
        server.hang_up()
        assert house.value("virtual_alias_maps", "bob@example.org") == "robert"
        assert server.connections == 2


def test_each_row_sees_its_own_tables(database: Path) -> None:
    with LookupHouse(
        {"virtual_alias_maps": [f"sqlite:{database}"]},
        {"virtual_alias_maps": ["inline:{bob@example.org=other}"]},
    ) as house:
        assert house.value("virtual_alias_maps", "bob@example.org") == "bob@example.net"
        assert house.value("virtual_alias_maps", "bob@example.org", row="other") == "other"


@pytest.mark.parametrize(
    ("row", "parameter"),
    [("nobody", "canonical_maps"), ("lookup", "myhostname"), ("lookup", "__class__"), ("", "")],
)
def test_what_names_no_tables_is_refused(row: str, parameter: str) -> None:
    """No client names a table itself, and none reads another parameter."""
    with LookupHouse({}) as house:
        reply = house.ask(parameter, "key", row=row)
        assert isinstance(reply, Refused)
        assert reply.status.code == 451
        assert len(house.daemon.events("lookup_refused")) == 1


def test_one_that_is_stuck_stops_no_other(database: Path) -> None:
    """More requests than it has threads wait for a server that says nothing."""
    silent = threading.Semaphore(0)

    def never(name: str, key: str) -> bytes:
        silent.release()
        return SILENCE

    with SocketmapServer(never) as server:
        parameters = {
            "canonical_maps": [f"socketmap:{server.address}:stuck"],
            "virtual_alias_maps": [f"sqlite:{database}"],
            "relocated_maps": ["static:quick"],
        }
        with LookupHouse(parameters) as house:
            for _ in range(20):
                house.send(Find("lookup", "canonical_maps", (Key("key"),)))
            assert silent.acquire(timeout=10)
            assert house.value("virtual_alias_maps", "bob@example.org") == "bob@example.net"
            assert house.value("relocated_maps", "key") == "quick"


def test_what_takes_too_long_ends(tmp_path: Path, database: Path) -> None:
    """A server that says nothing, and a question without end; those that follow are answered."""
    endless = tmp_path / "endless.cf"
    query = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT 1 FROM n"
    endless.write_text(
        f"dbpath = {tmp_path}/accounts.db\nquery = {query} WHERE i < 0 AND i <> '%s'\n"
    )
    with SocketmapServer(lambda name, key: SILENCE if key == "slow" else answer(name, key)) as it:
        parameters = {
            "ipc_timeout": 1.0,
            "canonical_maps": [f"socketmap:{it.address}:aliases"],
            "virtual_alias_maps": [f"sqlite:{endless}"],
        }
        with LookupHouse(parameters) as house:
            told = "0.9 s"  # whoever is first to see it
            assert told in house.reason("canonical_maps", "slow")
            assert house.value("canonical_maps", "bob@example.org") == "robert"
            for _ in range(10):  # more than there are threads: each is free again
                house.send(Find("lookup", "virtual_alias_maps", (Key("key"),)))
            for _ in range(10):
                reply = house.hear()
                assert isinstance(reply, Refused)
                assert told in reply.reason


def test_database_that_is_locked(database: Path) -> None:
    with LookupHouse({"ipc_timeout": 0.3, "virtual_alias_maps": [f"sqlite:{database}"]}) as house:
        with contextlib.closing(sqlite3.connect(database.with_suffix(".db"))) as writer:
            writer.execute("BEGIN EXCLUSIVE")
            house.reason("virtual_alias_maps", "bob@example.org")
        assert house.value("virtual_alias_maps", "bob@example.org") == "bob@example.net"


DAMAGES = ["vanished", "truncated", "a folder", "a FIFO", "a device", "noise", "a loop"]


def damage_file(path: Path, damage: str) -> None:
    if damage == "truncated":
        os.truncate(path, 10)
    elif damage == "noise":
        path.write_bytes(bytes(range(256)) * 64)
    else:
        path.unlink()
        if damage == "a folder":
            path.mkdir()
        elif damage == "a FIFO":
            os.mkfifo(path)
        elif damage != "vanished":
            path.symlink_to("/dev/zero" if damage == "a device" else path)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("which", ["accounts.db", "accounts.cf", "plain", "table.cdb"])
def test_table_that_is_damaged_meanwhile(
    tmp_path: Path, database: Path, which: str, damage: str
) -> None:
    """A failure that passes, never a key that is missing; mended, it answers at once."""
    (tmp_path / "plain").write_text("bob@example.org bob@example.net\n")
    (tmp_path / "table").write_text("bob@example.org bob@example.net\n")
    compile_table(f"{tmp_path}/table")
    kind = {"accounts": f"sqlite:{database}", "plain": f"texthash:{tmp_path}/plain"}
    table = kind.get(which.partition(".")[0], f"cdb:{tmp_path}/table")
    with LookupHouse({"virtual_alias_maps": [table]}) as house:
        assert house.value("virtual_alias_maps", "bob@example.org") == "bob@example.net"
        path = tmp_path / which
        whole = path.read_bytes()
        damage_file(path, damage)
        assert str(tmp_path) in house.reason("virtual_alias_maps", "bob@example.org")
        assert house.daemon.events("table_failed")
        (tmp_path / "new").write_bytes(whole)
        if path.is_dir():
            path.rmdir()
        (tmp_path / "new").rename(path)
        assert house.value("virtual_alias_maps", "bob@example.org") == "bob@example.net"


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"nonsense",
        b"5:OK bo",
        b"0:,",
        b"6:OK bob;",
        b"007:OK bob,",
        b"100001:OK " + b"x" * 99_998 + b",",
        b"99999999999999999999:",
        netstring("OK " + "x" * 50_001),
        netstring("OK"[:1]),
        netstring("YES bob"),
        netstring("OK a\0b"),
        b"5:OK \xff\xfe,",
        b"\x00\x01\x02",
    ],
)
def test_server_that_babbles(reply: bytes) -> None:
    babble = True

    def say(name: str, key: str) -> bytes:
        return reply if babble else answer(name, key)

    with SocketmapServer(say) as server:
        tables = [f"socketmap:{server.address}:aliases"]
        with LookupHouse({"virtual_alias_maps": tables, "ipc_timeout": 2.0}) as house:
            assert tables[0] in house.reason("virtual_alias_maps", "bob@example.org")
            babble = False
            assert house.value("virtual_alias_maps", "bob@example.org") == "robert"


def test_nobody_listens(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    tables = [f"socketmap:inet:127.0.0.1:{port}:a", f"socketmap:unix:{tmp_path}/none:a"]
    with LookupHouse({"canonical_maps": tables[:1], "virtual_alias_maps": tables[1:]}) as house:
        assert "refused" in house.reason("canonical_maps", "key")
        assert "No such file" in house.reason("virtual_alias_maps", "key")


def test_key_of_a_megabyte_costs_its_connection_only() -> None:
    find = b"\x93\x01\x01\x94\xa4Find\xa6lookup\xb2virtual_alias_maps\x91\x92"
    with LookupHouse({"virtual_alias_maps": ["static:yes"]}) as house, house.new_client() as rogue:
        with pytest.raises(OSError, match="too long"):  # the kernel takes no such frame
            rogue.send(find + b"\xdb\x00\x10\x00\x00" + b"x" * (1 << 20) + b"\xc2")
        rogue.send(find + b"\xda\x04\x01" + b"x" * 1025 + b"\xc2")
        assert rogue.recv(100) == b""
        assert house.value("virtual_alias_maps", "key") == "yes"


@sandboxed
def test_table_in_another_folder_takes_another_process(
    tmp_path_factory: pytest.TempPathFactory, database: Path
) -> None:
    """The sandbox is made with the tables' folders: a new one needs a new process."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    database.with_suffix(".db").rename(elsewhere / "accounts.db")
    moved = f"dbpath = {elsewhere}/accounts.db\nquery = {QUERY}\n"
    with LookupHouse({"virtual_alias_maps": [f"sqlite:{database}"]}) as house:
        house.reason("virtual_alias_maps", "bob@example.org")
        assert not house.daemon.events("tables_moved")
        database.write_text(moved)
        house.reason("virtual_alias_maps", "bob@example.org")
        assert house.daemon.events("tables_moved")
        house.daemon.hear_until(Bye("retired"))
    with LookupHouse({"virtual_alias_maps": [f"sqlite:{database}"]}) as house:
        assert house.value("virtual_alias_maps", "bob@example.org") == "bob@example.net"
