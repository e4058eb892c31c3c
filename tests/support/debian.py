"""Debian's packages, unpacked side by side below .local/debian, so that none replaces another.

    .local/debian/PACKAGE/usr/...    the package, with the libraries that this machine lacks

Fetched once, by `apt-get download`, which needs package lists and no privilege. As a program it
fetches all that tests use: .ci/run has it done before the tests begin. Standard library only.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

__all__ = ["PACKAGES", "PackageUnavailable", "unpacked"]

PACKAGES = ("postfix", "exim4-daemon-light", "opensmtpd", "dovecot-lmtpd")
# What a package needs besides libraries, and cannot be without.
_COMPANIONS = {"dovecot-lmtpd": ("dovecot-core",)}
_CACHE = Path(__file__).resolve().parents[2] / ".local" / "debian"
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
_TIMEOUT = 100.0  # seconds for one command


class PackageUnavailable(Exception):  # noqa: N818 - a state of the machine
    """The package is not in the cache and cannot be fetched; the text says why."""


def unpacked(package: str) -> Path:
    """The folder of a package, which is fetched if need be."""
    folder = _CACHE / package
    if folder.exists():
        return folder
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other tests may want it too
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=_CACHE) as name:
                _fetch(package, Path(name)).rename(folder)
    return folder


def _fetch(package: str, place: Path) -> Path:
    downloads, root = place / "downloads", place / "root"
    downloads.mkdir()
    together = (package, *_COMPANIONS.get(package, ()))
    _run("apt-get", "download", *together, *_missing_libraries(package), cwd=downloads)
    for name in ("bin", "lib", "sbin"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")  # as on every Debian since 12
    (root / "etc").mkdir()
    for archive in downloads.glob("*.deb"):
        tarball = place / "tarball"
        with tarball.open("wb") as file:
            _run("dpkg-deb", "--fsys-tarfile", str(archive), stdout=file.fileno())
        _run("tar", "-x", "--keep-directory-symlink", "-f", str(tarball), "-C", str(root))
    return root


def _missing_libraries(package: str) -> list[str]:
    """What an installation would bring along, as far as it is libraries."""
    told = _run("apt-get", "--simulate", "--no-install-recommends", "install", package)
    words = (line.split() for line in told.splitlines())
    return [each[1] for each in words if each[:1] == ["Inst"] and each[1].startswith("lib")]


def _run(*command: str, cwd: Path | None = None, stdout: int = subprocess.PIPE) -> str:
    if shutil.which(command[0], path=_ENVIRONMENT["PATH"]) is None:
        raise PackageUnavailable(f"needs the command {command[0]}")
    done = subprocess.run(
        command,
        cwd=cwd,
        env=_ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=_TIMEOUT,
        check=False,
    )
    if done.returncode != 0:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise PackageUnavailable(f"{' '.join(command[:3])}: {last}")
    return (done.stdout or b"").decode(errors="replace")


def _main() -> int:
    try:
        for package in PACKAGES:
            unpacked(package)
    except PackageUnavailable as error:
        print(f"{os.path.basename(__file__)}: {error}", file=sys.stderr)
        return os.EX_UNAVAILABLE
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(_main())
