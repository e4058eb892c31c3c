"""The mailuser daemon's program: its handler, one call."""

from mta.daemons.mailuser.server import make_server
from mta.master.plain import run_plain

if __name__ == "__main__":
    run_plain(make_server)
