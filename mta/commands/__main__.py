"""`python -I -m mta.commands`: the `mta` command."""

from mta.commands.main import mta

if __name__ == "__main__":
    mta(prog_name="mta")
