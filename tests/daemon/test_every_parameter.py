"""Every parameter changes something that an operator or a peer can see, and what it is said to.

A parameter that nobody reads is worse than none: it lets one believe that something is set. So each
has a line here: another value, a look at a real piece of the house, and what is seen under the
default and under that value. Waits cost no time, for the loop's clock runs ahead of them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Pair, make_pair
from support.effects import (
    addresses,
    asking,
    elsewhere,
    entry,
    local,
    queueing,
    sending,
    submitting,
)
from support.effects.scene import Scene, scene

from mta.config.parameters import Parameters
from mta.ipc.messages import Flush, ListQueue

TLS = "STARTTLS"
CONCURRENCY_LIMIT = "default_destination_concurrency_limit"
COHORT_LIMIT = "default_destination_concurrency_failed_cohort_limit"
RECEIVED = b"Received: from a by b; today\r\n" * 5 + b"\r\n"


@dataclass(frozen=True)
class Effect:
    """`before` is what `look` shows under the default, `after` under the parameter's new value.

    In texts, CERTIFICATE, KEY and FOLDER are paths. `given` are other parameters, for both.
    """

    value: Any
    look: Callable[[Scene], object]
    before: object
    after: object
    given: dict[str, Any] = field(default_factory=dict)


def silence(stage: str, before: int, **given: object) -> Effect:
    return Effect(7, sending.time_of_silence(stage), before, 7, given)


OFFERED = {"PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES"}
SIZED = {*OFFERED, "SIZE 10240000"}

FULL = "552 5.2.2 mailbox is full"
IN_MAILDIR = "250 2.0.0 delivered to maildir /posthouse.test/bob"
PIPED = "250 2.0.0 delivered via list service"
LOCKING: dict[str, Any] = {
    "virtual_mailbox_base": "FOLDER",
    "deliver_lock_attempts": 1,
    "deliver_lock_delay": 0.01,
}
ECHO_USERS = {"pipe_command": ["/bin/echo", "$user"], "recipient_delimiter": "+"}


def shell(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


ALIASES = "inline:{a@b.test=c@b.test}"

INBOX = "ann mbox /var/mail/ann"
OWNED = "inline:{info=x@far.test, owner-info=bob}"
UNKNOWN_INFO = '550 5.1.1 unknown user: "info"'

EFFECTS: dict[str, Effect] = {
    "mydomain": Effect(
        "site.test",
        addresses.rewritten("a@host"),
        "a@host.posthouse.test",
        "a@host.site.test",
        {"append_dot_mydomain": True},
    ),
    "myorigin": Effect(
        "site.test",
        addresses.sender_field("127.0.0.1"),
        "alice@posthouse.test",
        "alice@site.test",
    ),
    "append_dot_mydomain": Effect(
        True, addresses.rewritten("a@host"), "a@host", "a@host.posthouse.test"
    ),
    "recipient_delimiter": Effect(
        "+",
        addresses.expanded("a+x@b.test"),
        "a+x@b.test",
        "c+x@b.test",
        {"virtual_alias_maps": [ALIASES]},
    ),
    "propagate_unmatched_extensions": Effect(
        [],
        addresses.expanded("a+x@b.test"),
        "c+x@b.test",
        "c@b.test",
        {"virtual_alias_maps": [ALIASES], "recipient_delimiter": "+"},
    ),
    "local_header_rewrite_clients": Effect(
        ["192.0.2.0/24"],
        addresses.sender_field("192.0.2.1"),
        "alice",
        "alice@posthouse.test",
    ),
    "remote_header_rewrite_domain": Effect(
        "domain.invalid",
        addresses.sender_field("192.0.2.1"),
        "alice",
        "alice@domain.invalid",
    ),
    "canonical_maps": Effect([ALIASES], addresses.rewritten("a@b.test"), "a@b.test", "c@b.test"),
    "sender_canonical_maps": Effect(
        [ALIASES], addresses.rewritten("a@b.test"), "a@b.test", "c@b.test"
    ),
    "recipient_canonical_maps": Effect(
        [ALIASES], addresses.expanded("a@b.test"), "a@b.test", "c@b.test"
    ),
    "canonical_classes": Effect(
        ["header_sender"],
        addresses.rewritten("a@b.test"),
        "c@b.test",
        "a@b.test",
        {"canonical_maps": [ALIASES]},
    ),
    "masquerade_domains": Effect(
        ["b.test"], addresses.rewritten("a@x.b.test"), "a@x.b.test", "a@b.test"
    ),
    "masquerade_exceptions": Effect(
        ["a"],
        addresses.rewritten("a@x.b.test"),
        "a@b.test",
        "a@x.b.test",
        {"masquerade_domains": ["b.test"]},
    ),
    "masquerade_classes": Effect(
        ["envelope_recipient"],
        addresses.rewritten("a@x.b.test"),
        "a@b.test",
        "a@x.b.test",
        {"masquerade_domains": ["b.test"]},
    ),
    "virtual_alias_maps": Effect([ALIASES], addresses.expanded("a@b.test"), "a@b.test", "c@b.test"),
    "virtual_alias_domains": Effect(
        ["b.test"],
        addresses.route("a@b.test"),
        "DEFAULT outbound:b.test",
        "ALIAS error:5.1.1 User unknown in virtual alias table",
    ),
    "virtual_alias_recursion_limit": Effect(
        1,
        addresses.expanded("a@b.test"),
        "d@b.test",
        "451 4.6.0 Alias expansion error",
        {"virtual_alias_maps": ["inline:{a@b.test=c@b.test, c@b.test=d@b.test}"]},
    ),
    "virtual_alias_expansion_limit": Effect(
        1,
        addresses.expanded("a@b.test"),
        "c@b.test d@b.test",
        "451 4.6.0 Alias expansion error",
        {"virtual_alias_maps": ["inline:{{a@b.test = c@b.test, d@b.test}}"]},
    ),
    "smtp_generic_maps": Effect(
        [ALIASES], addresses.rewritten("a@b.test", "generic"), "a@b.test", "c@b.test"
    ),
    "relocated_maps": Effect(
        [ALIASES], addresses.refused("a@b.test"), "", "550 5.1.6 User has moved to c@b.test"
    ),
    "transport_maps": Effect(
        ["inline:{{b.test = error:5.7.1 no}}"],
        addresses.route("a@b.test"),
        "DEFAULT outbound:b.test",
        "DEFAULT error:5.7.1 no",
    ),
    "sender_dependent_relayhost_maps": Effect(
        ["inline:{a@b.test=[192.0.2.1]}"],
        addresses.route("x@y.test", "a@b.test"),
        "DEFAULT outbound:y.test",
        "DEFAULT outbound:[192.0.2.1]",
    ),
    "always_bcc": Effect(
        "all@archive.test",
        addresses.recipients,
        "bob@posthouse.test",
        "bob@posthouse.test all@archive.test",
    ),
    "sender_bcc_maps": Effect([ALIASES], addresses.copy_of_sender("a@b.test"), "", "c@b.test"),
    "recipient_bcc_maps": Effect(
        [ALIASES], addresses.copy_of_recipient("a@b.test"), "", "c@b.test"
    ),
    "virtual_mailbox_domains": Effect(
        ["ours.test"],
        addresses.route("a@ours.test"),
        "DEFAULT outbound:ours.test",
        "VIRTUAL virtual:ours.test",
    ),
    "virtual_transport": Effect(
        "lmtp:unix:/run/lmtp",
        addresses.route("a@posthouse.test"),
        "VIRTUAL virtual:posthouse.test",
        "VIRTUAL lmtp:unix:/run/lmtp",
    ),
    "relay_domains": Effect(
        ["theirs.test"],
        addresses.route("a@theirs.test"),
        "DEFAULT outbound:theirs.test",
        "RELAY outbound:theirs.test",
    ),
    "relay_transport": Effect(
        "lmtp:[192.0.2.1]",
        addresses.route("a@theirs.test"),
        "RELAY outbound:theirs.test",
        "RELAY lmtp:[192.0.2.1]",
        {"relay_domains": ["theirs.test"]},
    ),
    "default_transport": Effect(
        "lmtp:[192.0.2.1]",
        addresses.route("a@elsewhere.test"),
        "DEFAULT outbound:elsewhere.test",
        "DEFAULT lmtp:[192.0.2.1]",
    ),
    "relayhost": Effect(
        "[192.0.2.1]",
        addresses.route("a@elsewhere.test"),
        "DEFAULT outbound:elsewhere.test",
        "DEFAULT outbound:[192.0.2.1]",
    ),
    "mydestination": Effect(
        ["b.test"],
        addresses.route("a@b.test"),
        "DEFAULT outbound:b.test",
        "LOCAL virtual:posthouse.test",
        {"local_transport": "virtual"},
    ),
    "local_transport": Effect(
        "lmtp:unix:/run/lmtp",
        addresses.route("a@b.test"),
        "LOCAL local:posthouse.test",
        "LOCAL lmtp:unix:/run/lmtp",
        {"mydestination": ["b.test"]},
    ),
    "local_recipient_maps": Effect(
        ["inline:{x@b.test=x}"],
        addresses.refused("a@b.test"),
        "",
        "550 5.1.1 User unknown in local recipient table",
        {"mydestination": ["b.test"]},
    ),
    "relay_recipient_maps": Effect(
        ["inline:{x@b.test=x}"],
        addresses.refused("a@b.test"),
        "",
        "550 5.1.1 User unknown in relay recipient table",
        {"relay_domains": ["b.test"]},
    ),
    "virtual_mailbox_maps": Effect(
        ["inline:{x@posthouse.test=x}"],
        addresses.refused("a@posthouse.test"),
        "",
        "550 5.1.1 User unknown in virtual mailbox table",
    ),
    "smtpd_reject_unlisted_recipient": Effect(
        False,
        entry.recipient,
        "550 5.1.1 <bob@posthouse.test>: Recipient address rejected: User unknown in virtual "
        "mailbox table",
        "250 2.1.5 Ok",
        {"virtual_mailbox_maps": ["inline:{x@posthouse.test=x}"]},
    ),
    "virtual_mailbox_limit": Effect(
        10,
        elsewhere.delivered_to_mbox,
        "250 2.0.0 delivered to mailbox /bob",
        FULL,
        {"virtual_mailbox_base": "FOLDER"},
    ),
    "virtual_mailbox_lock": Effect(
        ["fcntl"],
        elsewhere.delivered_while_locked,
        "451 4.2.0 mailbox is locked",
        "250 2.0.0 delivered to mailbox /bob",
        {**LOCKING, "stale_lock_time": 3600},
    ),
    "virtual_maildir_quota": Effect(
        10, elsewhere.delivered_to, IN_MAILDIR, FULL, {"virtual_mailbox_base": "FOLDER"}
    ),
    "virtual_maildir_quota_messages": Effect(
        1, elsewhere.delivered_again, IN_MAILDIR, FULL, {"virtual_mailbox_base": "FOLDER"}
    ),
    "deliver_lock_attempts": Effect(7, elsewhere.patience, (20, 1), (7, 1)),
    "deliver_lock_delay": Effect(2, elsewhere.patience, (20, 1), (40, 2)),
    "stale_lock_time": Effect(
        3600,
        elsewhere.delivered_while_locked,
        "250 2.0.0 delivered to mailbox /bob",
        "451 4.2.0 mailbox is locked",
        LOCKING,
    ),
    "pipe_command": Effect(
        ["/bin/true"],
        elsewhere.piped,
        "451 4.3.5 no command is configured",
        PIPED,
    ),
    "pipe_flags": Effect(
        "R",
        elsewhere.piped,
        "(Subject: x body)",
        "(Return-Path: <MAILER-DAEMON> Subject: x body)",
        {"pipe_command": ["/bin/cat"]},
    ),
    "pipe_size_limit": Effect(
        10,
        elsewhere.piped,
        "(Subject: x body)",
        "552 5.2.3 message size 20 exceeds size limit 10 of list",
        {"pipe_command": ["/bin/cat"]},
    ),
    "pipe_directory": Effect(
        "/", elsewhere.piped, PIPED, "(/)", {"pipe_command": shell("pwd | sed 's,/.*/.*,,'")}
    ),
    "pipe_null_sender": Effect(
        "nobody",
        elsewhere.piped,
        "(MAILER-DAEMON)",
        "(nobody)",
        {"pipe_command": ["/bin/echo", "$sender"]},
    ),
    "pipe_eol": Effect(
        "crlf", elsewhere.piped, "(0)", "(3)", {"pipe_command": shell("tr -dc '\\r' | wc -c")}
    ),
    "pipe_writable": Effect(["/srv/list"], elsewhere.writable_for_commands, (), ("/srv/list",)),
    "pipe_destination_recipient_limit": Effect(
        1, elsewhere.piped, "(0 1)", "(0); 250 2.0.0 delivered via list service (1)", ECHO_USERS
    ),
    "command_time_limit": Effect(
        1,
        elsewhere.piped,
        "(late)",
        '550 5.3.0 Command time limit exceeded: "/bin/sh"',
        {"pipe_command": shell("sleep 1.2; echo late"), "pipe_destination_recipient_limit": 50},
    ),
    "export_environment": Effect(
        ["LIST=x"], elsewhere.piped, PIPED, "(x)", {"pipe_command": shell("echo $$LIST")}
    ),
    "alias_maps": Effect(
        ["inline:{info=ann}"],
        local.done("info"),
        UNKNOWN_INFO,
        INBOX,
    ),
    "expand_owner_alias": Effect(
        True,
        local.done("info"),
        "forward from owner-info@here.test: x@far.test",
        "forward from bob@here.test: x@far.test",
        {"alias_maps": [OWNED]},
    ),
    "owner_request_special": Effect(
        False,
        local.done("info"),
        "forward from owner-info@here.test: x@far.test",
        "forward from sender@far.test: x@far.test",
        {"alias_maps": [OWNED]},
    ),
    "allow_mail_to_commands": Effect(
        ["forward"],
        local.done("info"),
        "nobody runs /bin/x",
        "550 5.7.1 mail to command is restricted",
        {"alias_maps": ["inline:{info=|/bin/x}"]},
    ),
    "allow_mail_to_files": Effect(
        ["forward"],
        local.done("info"),
        "nobody mbox /x",
        "550 5.7.1 mail to file is restricted",
        {"alias_maps": ["inline:{info=/x}"]},
    ),
    "default_privs": Effect(
        "filter",
        local.done("info"),
        "nobody mbox /x",
        "filter mbox /x",
        {"alias_maps": ["inline:{info=/x}"]},
    ),
    "forward_path": Effect(
        ["/forward/$user"],
        local.done("ann", {"/forward/ann": "x@far.test"}),
        INBOX,
        "forward from sender@far.test: x@far.test",
    ),
    "mailbox_transport_maps": Effect(
        ["inline:{ann=lmtp}"], local.done("ann"), INBOX, "lmtp gets ann@here.test"
    ),
    "mailbox_transport": Effect("lmtp", local.done("ann"), INBOX, "lmtp gets ann@here.test"),
    "mailbox_command_maps": Effect(
        ["inline:{ann=/bin/x}"], local.done("ann"), INBOX, "ann runs /bin/x"
    ),
    "mailbox_command": Effect("/bin/x", local.done("ann"), INBOX, "ann runs /bin/x"),
    "command_execution_directory": Effect(
        "$home",
        local.done("ann"),
        "ann runs /bin/x",
        "ann runs /bin/x in /home/ann",
        {"mailbox_command": "/bin/x"},
    ),
    "home_mailbox": Effect("Maildir/", local.done("ann"), INBOX, "ann maildir /home/ann/Maildir/"),
    "mail_spool_directory": Effect("/srv/", local.done("ann"), INBOX, "ann maildir /srv/ann/"),
    "fallback_transport_maps": Effect(
        ["inline:{info=lmtp}"], local.done("info"), UNKNOWN_INFO, "lmtp gets info@here.test"
    ),
    "fallback_transport": Effect(
        "lmtp", local.done("info"), UNKNOWN_INFO, "lmtp gets info@here.test"
    ),
    "luser_relay": Effect(
        "$user@far.test",
        local.done("info"),
        UNKNOWN_INFO,
        "forward from sender@far.test: info@far.test",
    ),
    "mailbox_size_limit": Effect(7, local.asked_of_mailuser("size_limit"), 51_200_000, 7),
    "mailbox_delivery_lock": Effect(
        ["flock"], local.asked_of_mailuser("locks"), ("fcntl", "dotlock"), ("flock",)
    ),
    "maildrop_directory": Effect(
        "FOLDER/elsewhere", submitting.emptied_folder, "maildrop", "elsewhere"
    ),
    "maildrop_turn_file_limit": Effect(1, submitting.full_turns, 0, 2),
    "maildrop_turn_size_limit": Effect(1, submitting.full_turns, 0, 2),
    "pickup_user_concurrency_limit": Effect(1, submitting.callers, 2, 1),
    "authorized_flush_users": Effect(
        [],
        asking.answer_to(Flush()),
        "451 4.3.0 Internal service unavailable",  # for there is no queue manager
        "550 5.7.1 User unknown(54321) is not allowed to flush the mail queue",
    ),
    "authorized_mailq_users": Effect(
        [],
        asking.answer_to(ListQueue()),
        "0 listed",
        "550 5.7.1 User unknown(54321) is not allowed to view the mail queue",
    ),
    "authorized_submit_users": Effect([], submitting.answer_to_a_user, "taken", "550 5.7.1"),
    "queue_directory": Effect("FOLDER/other", elsewhere.home_of_all_processes, "", "/other"),
    "log_file": Effect(
        "FOLDER/other.log", elsewhere.log_lines, "mail.log: JSON", "other.log: JSON"
    ),
    "log_format": Effect(
        "classic", elsewhere.log_lines, "mail.log: JSON", "mail.log: posthouse/smtpd"
    ),
    "syslog_name": Effect(
        "postfix",
        elsewhere.log_lines,
        "mail.log: posthouse/smtpd",
        "mail.log: postfix/smtpd",
        {"log_format": "classic"},
    ),
    "myhostname": Effect(
        "mx.test",
        entry.greeting,
        "220 posthouse.test ESMTP Posthouse",
        "220 mx.test ESMTP Posthouse",
    ),
    "mynetworks": Effect(
        ["192.0.2.0/24"],
        entry.relaying,
        "250 2.1.5 Ok",
        "554 5.7.1 <bob@elsewhere.test>: Relay access denied",
    ),
    "mail_owner": Effect("nobody", elsewhere.owner_of_queue_files, len("mta"), len("nobody")),
    "private_group": Effect(
        "nogroup", elsewhere.group_of_private_sockets, len("mtaprivate"), len("nogroup")
    ),
    "proxy_interfaces": Effect(
        ["127.0.0.4"],
        sending.a_host_of_ours,
        "connect to 127.0.0.4[127.0.0.4]:2600: Connection refused",
        "mail for 127.0.0.4 loops back to myself",
    ),
    "virtual_mailbox_base": Effect(
        "FOLDER",
        elsewhere.delivered_to,
        "451 4.3.5 the mailboxes are not there",
        "250 2.0.0 delivered to maildir /posthouse.test/bob",
    ),
    "message_size_limit": Effect(5000, entry.capabilities, SIZED, {*OFFERED, "SIZE 5000"}),
    "header_size_limit": Effect(
        1024,
        elsewhere.content_refused(b"X: " + b"x" * 2000 + b"\r\n\r\n"),
        "taken",
        "552 5.3.4 Header section too large",
    ),
    "sendmail_timeout": Effect(
        7,
        submitting.patience_with_pickup,
        "pickup: no answer within 60 s",
        "pickup: no answer within 7 s",
    ),
    "queue_minfree": Effect(2**50, entry.room_for_mail, "250", "452"),
    "hopcount_limit": Effect(
        5, elsewhere.content_refused(RECEIVED), "taken", "554 5.4.6 Too many hops"
    ),
    "line_length_limit": Effect(512, entry.a_long_command, "250", "500"),
    "smtpd_content_line_limit": Effect(1000, entry.a_long_line_of_content, "250", "550"),
    "smtpd_recipient_limit": Effect(100, entry.the_101st_recipient, "250", "452"),
    "smtpd_timeout": Effect(7, entry.patience_for_a_command, 300, 7),
    "smtpd_min_data_rate": Effect(1, entry.patience_for_content, 300, 400),
    "smtpd_hard_error_limit": Effect(
        2, entry.errors_until_the_end, [*["500"] * 20, "421"], ["500", "500", "421"]
    ),
    "smtpd_banner": Effect(
        "hello", entry.greeting, "220 posthouse.test ESMTP Posthouse", "220 hello"
    ),
    "smtpd_tls_security_level": Effect(
        "may",
        entry.capabilities,
        SIZED,
        {*SIZED, TLS},
        {"smtpd_tls_cert_file": "CERTIFICATE", "smtpd_tls_key_file": "KEY"},
    ),
    "smtpd_tls_cert_file": Effect(
        "CERTIFICATE",
        entry.encryption,
        "454",
        "220",
        {"smtpd_tls_security_level": "may", "smtpd_tls_key_file": "KEY"},
    ),
    "smtpd_tls_key_file": Effect(
        "KEY",
        entry.encryption,
        "454",
        "220",
        {"smtpd_tls_security_level": "may", "smtpd_tls_cert_file": "CERTIFICATE"},
    ),
    "smtp_tls_security_level": Effect(
        "encrypt", sending.a_host_without_tls, "DELIVERED", "DEFERRED"
    ),
    "smtp_tcp_port": Effect(2603, sending.the_usual_port, 25, 2603),
    "smtp_helo_name": Effect("out.test", sending.name_in_ehlo, "posthouse.test", "out.test"),
    "smtp_fallback_relay": Effect(
        ["[127.0.0.5]:2602"],
        sending.nobody_there,
        "connect to 127.0.0.4[127.0.0.4]:2601: Connection refused",
        "connect to 127.0.0.5[127.0.0.5]:2602: Connection refused",
    ),
    "inet_protocols": Effect(
        "ipv6",
        sending.nobody_there,
        "connect to 127.0.0.4[127.0.0.4]:2601: Connection refused",
        "127.0.0.4 has no ipv6 address",
    ),
    "smtp_address_preference": Effect("ipv6", sending.first_protocols, {4, 6}, {6}),
    "smtp_mx_address_limit": Effect(3, sending.addresses_to_try, 5, 3),
    "smtp_mx_session_limit": Effect(3, sending.sessions_begun, 2, 3),
    "smtp_connect_timeout": Effect(7, sending.a_full_host, 30, 7),
    "smtp_helo_timeout": silence("GREETING", 300),
    "smtp_starttls_timeout": silence("STARTTLS", 300, smtp_tls_security_level="encrypt"),
    "smtp_mail_timeout": silence("MAIL", 300),
    "smtp_rcpt_timeout": silence("RCPT", 300),
    "smtp_data_init_timeout": silence("DATA", 120),
    "smtp_data_xfer_timeout": silence("CONTENT", 180),
    "smtp_data_done_timeout": silence("END", 600),
    "smtp_rset_timeout": Effect(
        7,
        sending.time_of_silence_after_a_refusal,
        20,
        7,
        {"smtp_connection_cache_time_limit": 100},
    ),
    "smtp_connection_cache_time_limit": Effect(7, sending.time_of_an_idle_session, 2, 7),
    "smtp_connection_reuse_time_limit": Effect(
        7, sending.age_of_a_session, 1, 2, {"smtp_connection_cache_time_limit": 100}
    ),
    "dns_servers": Effect(
        ["[192.0.2.1]:5353"],
        elsewhere.name_servers,
        ["192.0.2.53"],
        ["Do53:192.0.2.1@5353"],
    ),
    "dns_timeout": Effect(1, sending.a_silent_resolver, 60 + 2 * 20, 60 + 2 * 1),
    "minimal_backoff_time": Effect(7, queueing.pause_at_age(0), 300, 7),
    "maximal_backoff_time": Effect(700, queueing.pause_at_age(1e6), 4000, 700),
    "maximal_queue_lifetime": Effect(9e4, queueing.fate_at_age(1e5), "kept", "given up"),
    "bounce_queue_lifetime": Effect(9e4, queueing.fate_at_age(1e5, sender=""), "kept", "given up"),
    "delay_warning_time": Effect(9e4, queueing.told_at_age(1e5), "nothing", "DELAY"),
    "bounce_size_limit": Effect(1000, elsewhere.returned_whole, True, False),
    "double_bounce_sender": Effect(
        "nobody",
        elsewhere.reporting,
        ("double-bounce@posthouse.test", "postmaster@posthouse.test"),
        ("nobody@posthouse.test", "postmaster@posthouse.test"),
    ),
    "double_bounce_recipient": Effect(
        "ops@example.org",
        elsewhere.reporting,
        ("double-bounce@posthouse.test", "postmaster@posthouse.test"),
        ("double-bounce@posthouse.test", "ops@example.org"),
    ),
    "soft_bounce": Effect(
        True,
        entry.relaying,
        "554 5.7.1 <bob@elsewhere.test>: Relay access denied",
        "454 4.7.1 <bob@elsewhere.test>: Relay access denied",
        {"mynetworks": []},
    ),
    "queue_run_delay": Effect(7, queueing.a_file_that_nobody_told_of, 60, 7),
    "qmgr_message_active_limit": Effect(1, queueing.messages_at_work, 3, 1),
    CONCURRENCY_LIMIT: Effect(7, queueing.deliveries_at_once, 20, 7),
    "initial_destination_concurrency": Effect(2, queueing.deliveries_at_first, 5, 2),
    COHORT_LIMIT: Effect(3, queueing.failures_until_suspended, 1, 3),
    "default_destination_recipient_limit": Effect(2, queueing.requests_for_three_recipients, 1, 2),
    "ipc_timeout": Effect(7, entry.a_silent_neighbour, ("451", 60), ("451", 7)),
    "delivery_timeout": Effect(7, queueing.a_silent_agent, 3600, 7),
    "service_checkin_time": Effect(20, elsewhere.time_to_check_in, 10, 20),
    "service_throttle_time": Effect(7, elsewhere.longest_pause_of_a_failing_row, 60, 7),
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make_pair(tmp_path_factory.mktemp("certificates"))


def test_every_parameter_has_its_line() -> None:
    assert list(EFFECTS) == list(Parameters.__struct_fields__)


@pytest.mark.parametrize("name", EFFECTS)
def test_a_parameter_changes_what_it_is_said_to(name: str, short_path: Path, pair: Pair) -> None:
    effect = EFFECTS[name]
    assert effect.before != effect.after
    seen = []
    for changed in (False, True):
        folder = short_path / ("after" if changed else "before")
        paths = {"CERTIFICATE": pair.certificate, "KEY": pair.key, "FOLDER": folder}

        def meant(value: object, paths: dict[str, Path] = paths) -> object:
            for word, path in paths.items() if isinstance(value, str) else ():
                value = str(value).replace(word, str(path))
            return value

        values = {"virtual_mailbox_domains": ["posthouse.test"], **effect.given}
        if name == "virtual_mailbox_domains":
            values = {}
        if changed:
            values[name] = effect.value
        with scene(folder, {key: meant(value) for key, value in values.items()}) as made:
            seen.append(effect.look(made))
    assert seen == [effect.before, effect.after]
