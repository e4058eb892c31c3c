"""What is wrong with smtpd's certificate is said before anything changes."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.certificates import Pair, make_pair
from support.configuration import ConfigurationFolder

Break = Callable[[Pair, Path], object]


def settings(pair: Pair, level: str = "may") -> str:
    return (
        f"smtpd_tls_security_level: {level}\n"
        f"smtpd_tls_cert_file: {pair.certificate}\n"
        f"smtpd_tls_key_file: {pair.key}\n"
    )


@pytest.fixture
def folder(tmp_path: Path) -> ConfigurationFolder:
    return ConfigurationFolder(tmp_path)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return make_pair(tmp_path / "tls")


def test_a_sound_pair(folder: ConfigurationFolder, pair: Pair) -> None:
    folder.main(settings(pair, "encrypt"))
    assert folder.compile().parameters.smtpd_tls_security_level == "encrypt"


def test_both_in_one_file(folder: ConfigurationFolder, pair: Pair) -> None:
    pair.certificate.write_text(pair.certificate.read_text() + pair.key.read_text())
    pair.certificate.chmod(0o640)
    folder.main(
        f"smtpd_tls_security_level: may\nsmtpd_tls_cert_file: {pair.certificate}\n",
    )
    folder.compile()


def test_without_tls_nobody_looks(folder: ConfigurationFolder, pair: Pair) -> None:
    pair.key.unlink()
    folder.main(settings(pair, "none"))
    folder.compile()


def test_no_certificate(folder: ConfigurationFolder) -> None:
    folder.main("smtpd_tls_security_level: may\n")
    (problem,) = folder.problems()
    assert problem == (
        "main.yml:5:27: main.smtpd_tls_security_level: expected smtpd_tls_cert_file to name a "
        "certificate, for smtpd_tls_security_level is may, got nothing"
    )


CERTIFICATE = "6:22: main.smtpd_tls_cert_file: "
KEY = "7:21: main.smtpd_tls_key_file: "
NO_FILE = "expected a file that can be read, got {path}: No such file or directory"
NO_PAIR = (
    "expected a certificate and its private key, in PEM form and without a passphrase, got a pair "
    "that is none ({reason})"
)
NO_PEM = NO_PAIR.format(reason="no certificate with its private key in PEM form")
ENCRYPTED = NO_PAIR.format(
    reason="the private key is encrypted: a daemon has nobody to ask for its passphrase"
)


def _take_key_of_another(pair: Pair, folder: Path) -> None:
    make_pair(folder / "other").key.rename(pair.key)


def _encrypt_key(pair: Pair, folder: Path) -> None:
    make_pair(folder / "other", passphrase=b"secret").move_to(pair)


BROKEN: list[tuple[Break, str]] = [
    (lambda pair, _: pair.certificate.unlink(), CERTIFICATE + NO_FILE.format(path="{certificate}")),
    (lambda pair, _: pair.key.unlink(), KEY + NO_FILE.format(path="{key}")),
    (lambda pair, _: pair.certificate.write_text("x"), CERTIFICATE + NO_PEM),
    (lambda pair, _: pair.key.write_text(""), CERTIFICATE + NO_PEM),
    (
        _take_key_of_another,
        CERTIFICATE + NO_PAIR.format(reason="the private key does not belong to the certificate"),
    ),
    (_encrypt_key, CERTIFICATE + ENCRYPTED),
    (
        lambda pair, _: pair.key.chmod(0o644),
        KEY
        + "expected a private key that others cannot read, got {key}, mode 0644; chmod o= {key}",
    ),
]


@pytest.mark.parametrize(("damage", "problem"), BROKEN, ids=range(len(BROKEN)))
def test_a_broken_pair(
    folder: ConfigurationFolder, pair: Pair, tmp_path: Path, damage: Break, problem: str
) -> None:
    damage(pair, tmp_path)
    folder.main(settings(pair))
    expected = problem.format(certificate=pair.certificate, key=pair.key)
    assert folder.problems() == [f"main.yml:{expected}"]


def test_files_of_the_root_folder_would_open_all_to_smtpd(folder: ConfigurationFolder) -> None:
    folder.main("smtpd_tls_security_level: may\nsmtpd_tls_cert_file: /posthouse.crt\n")
    (problem,) = folder.problems()
    assert "expected a file in a folder of its own" in problem


class TestRows:
    """A row is to blame for what it sets itself."""

    def test_a_row_that_alone_wants_tls(self, folder: ConfigurationFolder) -> None:
        folder.services(
            "profile: hub\nservices:\n  smtp:\n    settings: {smtpd_tls_security_level: may}\n"
        )
        (problem,) = folder.problems()
        assert (
            "services.smtp.settings.smtpd_tls_security_level: expected smtpd_tls_cert_file to"
            in problem
        )

    def test_a_row_with_another_key(
        self, folder: ConfigurationFolder, pair: Pair, tmp_path: Path
    ) -> None:
        other = make_pair(tmp_path / "other")
        folder.main(settings(pair))
        folder.services(
            f"profile: hub\nservices:\n  smtp:\n    settings: {{smtpd_tls_key_file: {other.key}}}\n"
        )
        (problem,) = folder.problems()
        assert (
            "services.smtp.settings.smtpd_tls_key_file: expected a certificate and its" in problem
        )

    def test_what_a_row_inherits_is_said_once(
        self, folder: ConfigurationFolder, pair: Pair
    ) -> None:
        os.unlink(pair.key)
        folder.main(settings(pair))
        folder.services(
            "profile: hub\nservices:\n  smtp:\n    settings: {smtpd_timeout: 10}\n",
        )
        assert len(folder.problems()) == 1
