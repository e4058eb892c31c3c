"""Warnings: what keeps nobody from using a configuration, and still is not what was meant."""

import datetime as dt
from pathlib import Path

import pytest
from support.certificates import make_pair
from support.configuration import ConfigurationFolder

SILENT = "virtual_mailbox_domains: [posthouse.test]\n"


def row(text: str) -> str:
    return f"profile: hub\nservices:\n  smtp: {{{text}}}\n"


def warnings(folder: ConfigurationFolder) -> list[str]:
    return [str(problem) for problem in folder.compile().warnings]


def test_nothing_to_warn_of(folder: ConfigurationFolder) -> None:
    folder.main(SILENT)
    assert warnings(folder) == []


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (
            "relayhost: '[mx.test]'\ndefault_transport: 'outbound:[other.test]'",
            (
                "6:12: relayhost: expected default_transport without a nexthop of its "
                'own, got "outbound:[other.test]"; remove one of the two'
            ),
        ),
        (
            "relayhost: '[mx.test]'\ndefault_transport: ''",
            (
                "6:12: relayhost: expected default_transport to name a row that carries "
                "mail, got nothing"
            ),
        ),
        (
            "relayhost: '[posthouse.test]:25'",
            (
                '6:12: relayhost: expected another host, got "[posthouse.test]:25", '
                "which is this one"
            ),
        ),
        (
            "smtpd_tls_cert_file: /etc/posthouse/tls/mail.pem",
            (
                "6:22: smtpd_tls_cert_file: expected smtpd_tls_security_level to offer "
                "TLS, got none; set it to may"
            ),
        ),
        (
            "smtp_address_preference: ipv6\ninet_protocols: ipv4",
            (
                "6:26: smtp_address_preference: expected a preference that "
                "inet_protocols, ipv4, leaves open, got ipv6"
            ),
        ),
        (
            "syslog_name: mail",
            ("6:14: syslog_name: expected log_format: classic, which alone has it, got json"),
        ),
        (
            "bounce_queue_lifetime: 200s",
            (
                "6:24: bounce_queue_lifetime: expected 0, or at least "
                "minimal_backoff_time, 300s: sooner is no second attempt, got 200s"
            ),
        ),
        (
            "delay_warning_time: 6d",
            (
                "6:21: delay_warning_time: expected less than maximal_queue_lifetime, "
                "432000s, when mail is given up, got 518400s"
            ),
        ),
        (
            "queue_minfree: 1000",
            (
                "6:16: queue_minfree: expected 0, or at least message_size_limit, "
                "10240000: mail of that size would not fit, got 1000"
            ),
        ),
        (
            "header_size_limit: 200000\nmessage_size_limit: 100000",
            (
                "6:20: header_size_limit: expected at most message_size_limit, 100000, "
                "beyond which nothing comes, got 200000"
            ),
        ),
        (
            "smtp_mx_session_limit: 6",
            (
                "6:24: smtp_mx_session_limit: expected at most smtp_mx_address_limit, 5, "
                "beyond which nothing comes, got 6"
            ),
        ),
        (
            "initial_destination_concurrency: 21",
            (
                "6:34: initial_destination_concurrency: expected at most "
                "default_destination_concurrency_limit, 20, beyond which nothing comes, got 21"
            ),
        ),
        (
            "bounce_size_limit: 20000000",
            (
                "6:20: bounce_size_limit: expected at most message_size_limit, 10240000, beyond "
                "which nothing comes, got 20000000"
            ),
        ),
        (
            "smtp_connection_reuse_time_limit: 10s\nsmtp_connection_cache_time_limit: 0",
            (
                "6:35: smtp_connection_reuse_time_limit: expected smtp_connection_cache_time_limit "
                "to keep sessions for another use, got 0s"
            ),
        ),
        (
            "mynetworks: [9.0.0.0/8]",
            (
                "6:13: mynetworks: expected networks of your own, for clients in them "
                "may send mail to anybody, got 16,777,216 public IPv4 addresses, and the row smtp "
                "listens to them; name the networks of your own hosts alone"
            ),
        ),
        (
            "mynetworks: ['2400::/20']",
            (
                "6:13: mynetworks: expected networks of your own, for clients in them "
                f"may send mail to anybody, got {2**108:,} public IPv6 addresses, and the row smtp "
                "listens to them; name the networks of your own hosts alone"
            ),
        ),
    ],
)
def test_parameters(folder: ConfigurationFolder, text: str, warning: str) -> None:
    folder.main(f"{SILENT}{text}\n")
    folder.services("profile: hub\n")
    place, _, rest = warning.partition(": ")
    assert warnings(folder) == [f"main.yml:{place}: warning: main.{rest}"]


@pytest.mark.parametrize(
    "text",
    [
        "mynetworks: [10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 'fd00::/8', 9.9.0.0/16]",
        "mynetworks: ['2400:1::/32']",
        "smtpd_tls_cert_file: ''",
        "delay_warning_time: 0",
        "queue_minfree: 0",
        "syslog_name: mail\nlog_format: classic",
        "message_size_limit: 2000",  # header_size_limit has its default: nobody meant it
    ],
)
def test_what_is_meant(folder: ConfigurationFolder, text: str) -> None:
    folder.main(f"{SILENT}{text}\n")
    folder.services("profile: hub\n")
    assert warnings(folder) == []


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (
            "settings: {queue_run_delay: 5}",
            (
                "3:38: warning: services.smtp.settings.queue_run_delay: expected a parameter that "
                "smtpd uses, got queue_run_delay, which is for qmgr; remove it"
            ),
        ),
        (
            "privileged: true",
            (
                "3:22: warning: services.smtp.privileged: expected privileged: true for a row that "
                "runs as root, got mtanet"
            ),
        ),
        (
            'listen: ["inet:127.0.0.1:25", "ipc:private/smtp"]',
            (
                "3:40: warning: services.smtp.listen[1]: expected a service that a transport or a "
                "daemon names, got ipc:private/smtp, which nothing names"
            ),
        ),
        (
            'listen: ["inet:127.0.0.1:25"], settings: {mynetworks: [9.0.0.0/8]}',
            "",  # strangers do not get there
        ),
        ("settings: {smtpd_timeout: 5}", ""),
        ("command: [/bin/cat], settings: {queue_run_delay: 5}", ""),  # who knows what it uses
    ],
)
def test_rows(folder: ConfigurationFolder, text: str, warning: str) -> None:
    folder.main(SILENT)
    folder.services(row(text))
    assert warnings(folder) == ([f"services.yml:{warning}"] if warning else [])


def test_parameters_that_no_row_uses(folder: ConfigurationFolder) -> None:
    folder.main(f"{SILENT}smtpd_timeout: 60\nsmtp_tcp_port: 26\n")
    folder.services(
        "profile: hub\nservices:\n"
        "  smtp: {settings: {smtpd_timeout: 30}}\n"
        "  outbound: {enabled: false}\n"
    )
    assert warnings(folder) == [
        (
            "main.yml:1:1: warning: main.default_transport: expected a row that is enabled, got "
            "outbound, which is switched off; its mail waits in the queue"
        ),
        (
            "main.yml:6:1: warning: main.smtpd_timeout: expected a parameter that a row uses "
            "(smtpd), got smtpd_timeout, which each of these rows sets for itself; remove it"
        ),
        (
            "main.yml:7:1: warning: main.smtp_tcp_port: expected a parameter that a row uses "
            "(smtp), got smtp_tcp_port, and none of these is enabled; remove it"
        ),
    ]


def test_the_postmaster_needs_a_mailbox(folder: ConfigurationFolder) -> None:
    text = (folder.directory / "main.yml").read_text().replace("virtual_mailbox_base", "#")
    (folder.directory / "main.yml").write_text(text)
    assert warnings(folder) == [
        (
            "main.yml:1:1: warning: main.virtual_mailbox_base: expected an absolute path, for the "
            "mailbox of postmaster@posthouse.test, got nothing"
        )
    ]


class TestCertificates:
    @staticmethod
    def settings(folder: ConfigurationFolder, tls: Path, name: str = "posthouse.test") -> None:
        folder.main(
            f"{SILENT}smtpd_tls_security_level: may\nsmtpd_tls_cert_file: {tls}/{name}.crt\n"
            f"smtpd_tls_key_file: {tls}/{name}.key\n"
        )

    def test_one_that_ends_soon(self, folder: ConfigurationFolder, tmp_path: Path) -> None:
        make_pair(tmp_path / "tls", ends=dt.timedelta(days=13))
        self.settings(folder, tmp_path / "tls")
        (warning,) = warnings(folder)
        assert "expected a certificate that is valid for another 14 days, got CN=pos" in warning

    def test_one_of_another_name(self, folder: ConfigurationFolder, tmp_path: Path) -> None:
        make_pair(tmp_path / "tls", "mail.example")
        self.settings(folder, tmp_path / "tls", "mail.example")
        (warning,) = warnings(folder)
        assert warning.endswith(
            "expected a certificate for myhostname, posthouse.test, got one for mail.example"
        )

    @pytest.mark.parametrize("name", ["*.test", "posthouse.test"])
    def test_names_that_fit(self, folder: ConfigurationFolder, tmp_path: Path, name: str) -> None:
        make_pair(tmp_path / "tls", name)
        self.settings(folder, tmp_path / "tls", name)
        assert warnings(folder) == []

    @pytest.mark.parametrize(
        ("begins", "ends"),
        [(dt.timedelta(days=-9), dt.timedelta(days=-1)), (dt.timedelta(1), dt.timedelta(99))],
        ids=["expired", "not yet valid"],
    )
    def test_one_that_is_not_valid_now_is_an_error(
        self, folder: ConfigurationFolder, tmp_path: Path, begins: dt.timedelta, ends: dt.timedelta
    ) -> None:
        make_pair(tmp_path / "tls", begins=begins, ends=ends)
        self.settings(folder, tmp_path / "tls")
        (problem,) = folder.problems()
        assert "main.smtpd_tls_cert_file: expected a certificate that is valid now" in problem
        assert problem.endswith("; renew it")

    def test_a_chain_in_the_wrong_order_is_an_error(
        self, folder: ConfigurationFolder, tmp_path: Path
    ) -> None:
        pair = make_pair(tmp_path / "tls")
        other = make_pair(tmp_path / "other", "issuer.test")
        pair.certificate.write_bytes(pair.certificate.read_bytes() + other.certificate.read_bytes())
        self.settings(folder, tmp_path / "tls")
        (problem,) = folder.problems()
        assert "expected the certificate of CN=posthouse.test next in the chain" in problem
