"""The manual's tables are the code's: nothing is set that is not documented, and as it is."""

from pathlib import Path

import msgspec
import pytest
from support.configuration import ConfigurationFolder

from mta.config.parameters import Parameters
from mta.config.reference import parameters_reference, services_reference
from mta.config.snapshot import Service

PAGES = Path(__file__).resolve().parents[3] / "docs" / "reference"


@pytest.mark.parametrize(
    ("name", "text"),
    [("parameters.md", parameters_reference()), ("services.md", services_reference())],
)
def test_the_printed_manual_is_up_to_date(name: str, text: str) -> None:
    assert (PAGES / name).read_text() == text, "run `make reference`"


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
    assert entry.rstrip().endswith(f"Default: {default}.")
