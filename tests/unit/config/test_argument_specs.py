"""The role refuses what no main.yml can have, by Ansible's own judgement, and adds nothing."""

from typing import Any

import msgspec
import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from mta.config.argument_specs import configuration_argument_specs
from mta.config.parameters import Parameters
from mta.config.table import profiles

OPTIONS = yaml.safe_load(configuration_argument_specs())["argument_specs"]["main"]["options"]
VARIABLES: dict[str, Any] = {
    "posthouse_bin": "/bin",
    "posthouse_etc": "/etc",
    "posthouse_parameters": {"queue_directory": "/queue", "log_file": "/log/mail.log"},
    "posthouse_profile": "hub",
    "posthouse_services": {},
}


def errors(parameters: dict[str, object], **variables: object) -> list[str]:
    """What Ansible finds wrong; nothing may have been added to what was given."""
    given = {**VARIABLES["posthouse_parameters"], **parameters}
    judged = ArgumentSpecValidator(OPTIONS).validate(
        {**VARIABLES, "posthouse_parameters": given, **variables}
    )
    found: list[str] = judged.error_messages
    if not found:
        values = judged.validated_parameters["posthouse_parameters"].items()
        assert {name for name, value in values if value is not None} == set(given)
    return found


@pytest.mark.parametrize("field", msgspec.structs.fields(Parameters), ids=lambda field: field.name)
def test_every_parameter_is_known_and_its_default_admitted(
    field: msgspec.structs.FieldInfo,
) -> None:
    option = OPTIONS["posthouse_parameters"]["options"][field.name]
    assert "default" not in option, "Ansible would write it into main.yml"
    assert option.get("required", False) == field.required
    if field.default is not msgspec.NODEFAULT:
        plain = msgspec.to_builtins(field.default)
        assert errors({field.name: list(plain) if isinstance(plain, tuple) else plain}) == []


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({"mesage_size_limit": 1}, "mesage_size_limit"),
        ({"message_size_limit": "ten"}, "message_size_limit"),
        ({"log_format": "jsonn"}, "log_format must be one of: classic, json"),
        ({"soft_bounce": "perhaps"}, "soft_bounce"),
        ({"mynetworks": {"a": 1}}, "mynetworks"),
    ],
)
def test_what_is_refused(parameters: dict[str, object], error: str) -> None:
    (found,) = errors(parameters)
    assert error in found


@pytest.mark.parametrize("value", [90, 1.5, "5m"])
def test_a_duration_is_a_number_or_has_a_unit(value: object) -> None:
    assert errors({"smtpd_timeout": value}) == []


def test_profiles_are_those_that_are_shipped() -> None:
    for profile in profiles():
        assert errors({}, posthouse_profile=profile) == []
    assert "posthouse_profile" in errors({}, posthouse_profile="hubb")[0]
