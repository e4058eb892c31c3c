"""One mistake is one error: it hides no other, and nothing that follows from it is told."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from support.configuration import ConfigurationFolder

from mta.config.errors import ConfigError
from mta.config.parameters import Parameters
from mta.config.problems import Problem
from mta.config.snapshot import Service

PARAMETERS: dict[str, object] = {
    "virtual_mailbox_domains": ["posthouse.test"],
    "virtual_mailbox_base": "/var/mail/virtual",
    "relayhost": "[192.0.2.1]",
    "mynetworks": ["10.0.0.0/8"],
    "proxy_interfaces": ["192.0.2.2"],
    "smtp_fallback_relay": ["[192.0.2.3]"],
}
ROWS: dict[str, dict[str, object]] = {
    "smtp": {"listen": ["inet:127.0.0.1:2525"], "min_free": 1, "settings": {"smtpd_timeout": "5m"}},
    "submission": {"daemon": "smtpd", "user": "mtanet", "listen": ["inet:0.0.0.0:587"]},
    "agent": {"daemon": "smtp", "user": "mtanet", "listen": ["ipc:private/agent"]},
}
# No parameter and no key of a row takes them; `settings` takes a mapping, and that is one of lists.
WRONG = st.sampled_from([{"a": [1]}, [["a"]], [{"a": 1}], None])


def problems(parameters: dict[str, Any], rows: dict[str, Any]) -> tuple[Problem, ...]:
    with TemporaryDirectory() as place:
        folder = ConfigurationFolder(Path(place))
        text = (folder.directory / "main.yml").read_text()
        whole = yaml.safe_load(text) | parameters
        (folder.directory / "main.yml").write_text(yaml.safe_dump(whole))
        folder.services(json.dumps({"profile": "hub", "services": rows}))
        try:
            folder.compile()
        except ConfigError as error:
            return error.problems
    return ()


def names_of(struct: type[msgspec.Struct], *but: str) -> st.SearchStrategy[str]:
    return st.sampled_from([name for name in struct.__struct_fields__ if name not in but])


def test_the_configuration_itself_is_valid() -> None:
    assert problems(PARAMETERS, ROWS) == ()


@given(name=names_of(Parameters), value=WRONG)
def test_a_parameter_of_the_wrong_type_is_one_error(name: str, value: object) -> None:
    (problem,) = problems({**PARAMETERS, name: value}, ROWS)
    assert problem.name.startswith(f"main.{name}")


@given(row=st.sampled_from(sorted(ROWS)), key=names_of(Service, "name", "settings"), value=WRONG)
def test_a_key_of_a_row_of_the_wrong_type_is_one_error(row: str, key: str, value: object) -> None:
    (problem,) = problems(PARAMETERS, {**ROWS, row: {**ROWS[row], key: value}})
    assert problem.name.startswith(f"services.{row}.{key}")


@given(row=st.sampled_from(sorted(ROWS)), value=st.sampled_from([["a"], 4, "x"]))
def test_settings_that_are_no_mapping_are_one_error(row: str, value: object) -> None:
    (problem,) = problems(PARAMETERS, {**ROWS, row: {**ROWS[row], "settings": value}})
    assert problem.name == f"services.{row}.settings"


@given(
    row=st.sampled_from(sorted(ROWS)),
    name=names_of(Parameters, "queue_directory", "service_checkin_time", "service_throttle_time"),
    value=WRONG,
)
def test_a_setting_of_the_wrong_type_is_one_error(row: str, name: str, value: object) -> None:
    own = ROWS[row].get("settings", {})
    assert isinstance(own, dict)
    (problem,) = problems(
        PARAMETERS, {**ROWS, row: {**ROWS[row], "settings": {**own, name: value}}}
    )
    assert problem.name.startswith(f"services.{row}.settings.{name}")


@settings(max_examples=30)
@given(name=names_of(Parameters, "mynetworks", "default_transport"), value=WRONG)
def test_a_mistake_hides_no_other(name: str, value: object) -> None:
    """Neither one of another parameter, nor what does not fit together."""
    parameters = {**PARAMETERS, "mynetworks": ["10.0.0.1/8"], "default_transport": "nowhere"}
    rows = {**ROWS, "smtp": {"numprocs": "x", "listen": ["inet:127.0.0.1:587"], "min_free": -1}}
    expected = [
        *("main.default_transport", "main.mynetworks[0]", f"main.{name}"),
        *("services.smtp.min_free", "services.smtp.numprocs", "services.submission.listen[0]"),
    ]
    found = [problem.name for problem in problems({**parameters, name: value}, rows)]
    trimmed = [
        path if "mynetworks" in path or "listen" in path else path.partition("[")[0]
        for path in found
    ]
    assert sorted(trimmed) == sorted(expected)


@pytest.mark.parametrize("main", ["- a\n", "a: [\n", "42\n", "\x00"])
def test_a_file_that_cannot_be_read_does_not_hide_the_other(
    folder: ConfigurationFolder, main: str
) -> None:
    (folder.directory / "main.yml").write_text(main)
    folder.services("profile: hub\nservices: {smtp: {min_free: 11}, qmgr: {numprocs: 2}}\n")
    found = folder.problems()
    assert [line.split(":")[0] for line in found] == ["main.yml", "services.yml", "services.yml"]
    folder.main("relayhost: '[a'\n")
    folder.services("profile: [\n")
    assert [line.split(":")[0] for line in folder.problems()] == ["main.yml", "services.yml"]
