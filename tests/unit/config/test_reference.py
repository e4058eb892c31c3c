"""The manual's tables are the code's: nothing is set that is not documented, and as it is."""

from pathlib import Path

import msgspec
import pytest
from support.configuration import ConfigurationFolder

from mta.config.argument_specs import configuration_argument_specs
from mta.config.parameters import Parameters
from mta.config.reference import parameters_reference, services_reference
from mta.config.snapshot import Service

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("docs/reference/parameters.md", parameters_reference()),
        ("docs/reference/services.md", services_reference()),
        ("roles/configuration/meta/argument_specs.yml", configuration_argument_specs()),
    ],
)
def test_what_is_written_from_the_code_is_up_to_date(name: str, text: str) -> None:
    assert (REPOSITORY / name).read_text() == text, "run `make reference`"


def test_the_manual_says_who_uses_a_parameter_and_what_a_change_takes() -> None:
    text = parameters_reference().replace("  \n", "\n")
    entry = text.partition("\n## log_file\n")[2].partition("\n## ")[0]
    assert entry.endswith(
        "Used by: log, the master.\nSince: 0.1.0.\nA change takes: `mta stop` and `mta start`.\n"
    )
    index = text.partition("\n## ")[0]
    assert "| resolver | [inet_protocols](#inet_protocols), [dns_servers](#dns_servers), " in index


@pytest.mark.parametrize("struct", [Parameters, Service])
def test_every_setting_is_described(struct: type[msgspec.Struct]) -> None:
    text = parameters_reference() + services_reference()
    for field in msgspec.structs.fields(struct):
        if field.name != "name":  # the key of a row
            assert f"\n## {field.name}\n" in text


def test_the_example_of_the_service_table_is_valid(folder: ConfigurationFolder) -> None:
    example = services_reference().partition("```yaml\n")[2].partition("```")[0]
    folder.services(example)
    assert "virtual" not in {service.name for service in folder.compile().services}


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("daemon", "none, it must be set"),
        ("myhostname", "the host's own name"),
        ("mynetworks", '`["127.0.0.0/8", "::1/128"]`'),
        ("smtpd_timeout", "`5m`"),
        ("maximal_queue_lifetime", "`5d`"),
        ("settings", "`{}`"),
        ("wakeup", "`0s`"),
    ],
)
def test_defaults_are_written_as_an_operator_would(name: str, default: str) -> None:
    text = parameters_reference() + services_reference()
    entry = text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    assert f"Default: {default}.\n" in entry.replace("  \n", "\n")
