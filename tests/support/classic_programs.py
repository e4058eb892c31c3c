"""sendmail, mailq and newaliases as the roll-out installs them, for a system in a folder."""

import os
import sys
import sysconfig
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

__all__ = ["install_programs"]

_REPOSITORY = Path(__file__).resolve().parents[2]
_NAMES = ("sendmail", "mailq", "newaliases")


def install_programs(folder: Path, config: Path) -> None:
    """Put the programs into a folder."""
    loader = FileSystemLoader(_REPOSITORY / "templates")
    environment = Environment(loader=loader, undefined=StrictUndefined, autoescape=False)
    template = environment.get_template("bin/sendmail.j2")
    folder.mkdir()
    for name in _NAMES:
        text = template.render(
            ansible_managed="a test's",
            item=name,
            posthouse_etc=config,
            posthouse_venv=sys.prefix,
            runtime_path=_REPOSITORY,
            runtime_packages={"stdout": sysconfig.get_path("purelib")},
        )
        (folder / name).write_text(text)
        os.chmod(folder / name, 0o755)
