"""An editor that goes by the schema says what validation says, of every single value.

Known differences, around which documents are made here:

    1.0 where an integer is expected    one number in JSON; validation wants the integer
    "0s", "10000d"                      a pattern cannot hold the bounds of a duration's text
    a line feed at the end of a text    Python's $ overlooks it, ECMA's does not
    inet:127.0.0.256:25                 whether an address is one, is a matter of meaning
"""

import json
from collections.abc import Callable
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct, inspect
from support.configuration import ConfigurationFolder
from support.configurations import sound

from mta.config.parameters import Parameters
from mta.config.problems import Place, Problems
from mta.config.schema import main_schema, services_schema
from mta.config.snapshot import Service
from mta.config.source import Node
from mta.config.table import daemons, profiles, read_table
from mta.config.uses import SHARED
from mta.config.validate import check_fields, fields_of
from mta.util.duration import parse_duration
from mta.util.listen import parse_listen

DIALECTS = (jsonschema.Draft202012Validator, jsonschema.Draft7Validator)
SCHEMAS = {"main": main_schema(), "services": services_schema()}
VALIDATORS = {name: [dialect(schema) for dialect in DIALECTS] for name, schema in SCHEMAS.items()}
HERE = Place("file.yml", 1, 1)

Plain = Any
Values = st.SearchStrategy[Plain]

texts = st.text(max_size=12).filter(lambda text: not text.endswith("\n"))
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(-1e9, 1e9).filter(lambda number: not number.is_integer())
    | texts.filter(lambda text: parse_duration(text) is None)
)
anything = scalars | st.lists(scalars, max_size=3) | st.dictionaries(texts, scalars, max_size=3)


def noded(value: Plain) -> Node:
    """What the reader of YAML would make of it."""
    match value:
        case dict():
            return Node({name: noded(item) for name, item in value.items()}, HERE, HERE)
        case list():
            return Node([noded(item) for item in value], HERE, HERE)
    return Node(value, HERE, HERE)


def by_schema(name: str, document: Plain) -> bool:
    verdicts = {validator.is_valid(document) for validator in VALIDATORS[name]}
    assert len(verdicts) == 1, "every word means the same in both dialects"
    return verdicts.pop()


def by_validation(name: str, document: Plain) -> bool:
    problems = Problems()
    if name == "services":
        read_table(noded(document), problems)
        return not problems.errors
    entries = noded(document).value
    assert isinstance(entries, dict)
    check_fields(entries, Parameters, "main", problems)
    return not problems.errors


def near(info: inspect.Type) -> Values:
    """Values that the type admits, and some that it just does not."""
    kind = info.type if isinstance(info, inspect.Metadata) else info
    if isinstance(kind, inspect.VarTupleType):
        return st.lists(near(kind.item_type) | scalars, max_size=3)
    beyond: Values = st.nothing()
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        beyond = st.sampled_from([(kind.ge or 0) - 1, (kind.le or 0) + 1])
        if isinstance(kind, inspect.IntType):
            beyond = beyond.map(int)
        else:
            beyond = beyond.map(lambda number: number + 0.5)
    if isinstance(kind, inspect.StrType):
        beyond = sound(info).flatmap(
            lambda text: st.sampled_from([text + " ", text.upper(), "x" * 400, "/" + text])
        )
    return sound(info) | beyond


def is_address(text: Plain) -> bool:
    """Whether parsing would not refuse what the pattern admits."""
    try:
        parse_listen(text)
    except ValueError:
        return False
    return True


infos = {name: inspect.type_info(hint) for name, hint in fields_of(Parameters).items()}
row_infos = {name: inspect.type_info(hint) for name, hint in fields_of(Service).items()}
ports = st.integers(1, 65535)


@st.composite
def a_mapping(draw: st.DrawFn, fields: dict[str, Values], most: int = 4) -> dict[str, Plain]:
    """Some of the fields, and now and then a name that is none."""
    names = draw(st.lists(st.sampled_from(sorted(fields)), max_size=most, unique=True))
    found = {name: draw(fields[name]) for name in names}
    if draw(st.integers(0, 7)) == 0:
        close = st.sampled_from(sorted(fields)).map(lambda name: name[:-1])
        found[draw(close | texts)] = draw(scalars)
    return found


def mostly(strategy: Values) -> Values:
    return st.integers(0, 5).flatmap(lambda chance: strategy if chance else anything)


def tables(judged: Callable[[inspect.Type], Values], listening: Values) -> Values:
    """Service tables whose values are `judged`."""
    within = {name: judged(info) for name, info in infos.items() if name not in SHARED}
    fields = {
        **{name: judged(row_infos[name]) for name in row_infos if name not in UNLIKE_OTHERS},
        "enabled": st.booleans(),
        "daemon": st.sampled_from(sorted(daemons())),
        "listen": listening,
        "settings": st.none() | a_mapping(within, most=2),
    }
    own = st.dictionaries(
        st.sampled_from(["smtp", "virtual", "outbound"]), st.none() | a_mapping(fields), max_size=2
    )
    return st.fixed_dictionaries({"profile": st.just("hub"), "services": own})


UNLIKE_OTHERS = ("name", "daemon", "listen", "settings")
addresses = ports.map(lambda port: f"inet:[::1]:{port}") | sound(
    row_infos["listen"].type.item_type  # type: ignore[attr-defined]
).filter(is_address)
wrong_addresses = st.sampled_from(["inet:localhost:25", "ipc:../x", "udp:1.2.3.4:5", "pipe:A", ""])
parameters = {name: mostly(sound(info) | near(info)) for name, info in infos.items()}
sound_tables = tables(sound, st.lists(addresses, max_size=2))
wrong_tables = tables(
    lambda info: mostly(sound(info) | near(info)), st.lists(addresses | wrong_addresses, max_size=2)
)
strange_names = st.sampled_from(["mine", "reload_", "reload_2", "Mine", "", "9"])
strange_tables = st.fixed_dictionaries(
    {"services": mostly(st.none() | st.dictionaries(strange_names, anything, max_size=2))},
    optional={"profile": mostly(st.sampled_from([*profiles(), "hubb"])), "services_": scalars},
)


@pytest.mark.parametrize("name", SCHEMAS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_schema_itself_is_valid(name: str, dialect: type[jsonschema.Draft7Validator]) -> None:
    dialect.check_schema(SCHEMAS[name])


@given(a_mapping(parameters))
@settings(max_examples=300)
def test_main_yml_is_judged_alike(document: dict[str, Plain]) -> None:
    assert by_schema("main", document) == by_validation("main", document)


@given(sound_tables | wrong_tables | strange_tables)
@settings(max_examples=300)
def test_services_yml_is_judged_alike(document: dict[str, Plain]) -> None:
    assert by_schema("services", document) == by_validation("services", document)


@pytest.mark.parametrize("name", infos)
@given(data=st.data())
@settings(max_examples=5)
def test_what_a_parameter_may_be_is_valid(name: str, data: st.DataObject) -> None:
    """So that the test above does not agree on refusals alone."""
    document = {name: data.draw(sound(infos[name]))}
    assert by_schema("main", document)
    assert by_validation("main", document)


@pytest.mark.parametrize("name", infos)
@given(data=st.data())
@settings(max_examples=20)
def test_what_a_parameter_may_just_not_be_is_judged_alike(name: str, data: st.DataObject) -> None:
    document = {name: data.draw(near(infos[name]) | scalars)}
    assert by_schema("main", document) == by_validation("main", document)


@pytest.mark.parametrize("name", infos)
def test_a_parameter_is_offered_with_all_that_an_editor_shows(name: str) -> None:
    properties = SCHEMAS["main"]["properties"]
    assert properties[name]["description"]
    field = {f.name: f for f in msgspec.structs.fields(Parameters)}[name]
    assert (name in SCHEMAS["main"]["required"]) == field.required
    if "default" in properties[name]:
        assert by_schema("main", {name: properties[name]["default"]})
    settings_of_rows = SCHEMAS["services"]["$defs"]["row"]["properties"]["settings"]["properties"]
    assert (name in settings_of_rows) == (name not in SHARED)


@pytest.mark.parametrize("struct", [Parameters, Service])
def test_a_default_is_written_as_it_would_be_read(struct: type[Struct]) -> None:
    schema = SCHEMAS["main"] if struct is Parameters else SCHEMAS["services"]["$defs"]["row"]
    for field in msgspec.structs.fields(struct):
        if "default" in schema["properties"].get(field.name, {}):
            problems = Problems()
            node = noded(schema["properties"][field.name]["default"])
            values = check_fields({field.name: node}, struct, "", problems)
            assert values == {field.name: field.default}


@pytest.mark.parametrize(
    "table",
    [
        {"profile": "hub"},
        {"profile": "hub", "services": None},
        {"profile": "hub", "services": {"smtp": None, "virtual": {"enabled": False}}},
        {"profile": "hub", "services": {"virtual": {"daemon": "x", "command": ["/bin/x"]}}},
        {"profile": "hub", "services": {"submission": {"daemon": "smtpd"}}},
    ],
)
def test_tables_that_are_sound(table: dict[str, Plain]) -> None:
    assert by_schema("services", table)
    assert by_validation("services", table)


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"profile": "hubb"},
        {"profile": "hub", "services": {"submission": {}}},  # no such row: which daemon?
        {"profile": "hub", "services": {"submission": None}},
        {"profile": "hub", "services": {"smtp": {"daemon": "smptd"}}},
        {"profile": "hub", "services": {"smtp": {"daemon": "smptd", "command": []}}},
        {"profile": "hub", "services": {"reload_": {"daemon": "smtpd"}}},
        {"profile": "hub", "services": {"smtp": {"name": "smtp"}}},
        {"profile": "hub", "services": {"smtp": {"settings": {"mail_owner": "mta"}}}},
    ],
)
def test_tables_that_are_not(table: dict[str, Plain]) -> None:
    assert not by_schema("services", table)
    assert not by_validation("services", table)


def test_patterns_are_javascripts() -> None:
    r"""Its regular expressions have no \A, \Z, no (?P<name>, and no possessive quantifier."""
    text = json.dumps(SCHEMAS)
    assert not any(form in text for form in (r"\\A", r"\\Z", "(?P", "(?i", "++", "*+"))


def test_the_test_configuration_is_valid_by_the_schema(folder: ConfigurationFolder) -> None:
    configuration = folder.compile()
    plain = msgspec.json.decode(msgspec.json.encode(configuration.parameters))
    assert by_schema("main", plain)
