"""YAML with its places: what a file means, and what is refused where."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from mta.config.problems import Problems
from mta.config.source import DEPTH_LIMIT, SIZE_LIMIT, Node, load, parse

Plain: TypeAlias = "bool | int | float | str | Sequence[Plain] | Mapping[str, Plain] | None"


def plain(node: Node) -> Plain:
    """The values alone."""
    match node.value:
        case dict(entries):
            return {name: plain(entry) for name, entry in entries.items()}
        case list(items):
            return [plain(item) for item in items]
        case value:
            return value


def read(text: str) -> tuple[Node | None, list[str]]:
    problems = Problems()
    root = parse(text, "main.yml", problems)
    return root, list(map(str, problems.errors))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", {}),
        ("---\n", {}),
        ("# nothing\n", {}),
        ("a: 1", {"a": 1}),
        ("a: -17", {"a": -17}),
        ("a: 1.5", {"a": 1.5}),
        ("a: 1e3", {"a": 1000.0}),
        ("a: true", {"a": True}),
        ("a: ~", {"a": None}),
        ("a:", {"a": None}),
        ("a: ''", {"a": ""}),
        ("a: '1'", {"a": "1"}),
        ("a: no", {"a": "no"}),  # a boolean in YAML 1.1, and a country
        ("a: 010", {"a": "010"}),  # eight in YAML 1.1
        ("a: 22:30", {"a": "22:30"}),  # 1350 in YAML 1.1
        ("a: 2026-01-01", {"a": "2026-01-01"}),
        ("a: .inf", {"a": ".inf"}),
        ("a: 99999999999999999999999", {"a": "99999999999999999999999"}),
        ("a: [x, {b: 2}]", {"a": ["x", {"b": 2}]}),
        ("\ufeffa: 1", {"a": 1}),
    ],
)
def test_values_are_those_of_yaml_1_2(text: str, value: Plain) -> None:
    root, problems = read(text)
    assert problems == []
    assert root is not None
    assert plain(root) == value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "a: 1\nb: 2\na: 3\n",
            (
                'main.yml:3:1: a: expected each name once, got "a" again (it is set in line 1); '
                "remove one of the two"
            ),
        ),
        ("1: 2\n", "main.yml:1:1: expected a name, got 1"),
        ("[a]: 2\n", "main.yml:1:1: expected a name, got a list"),
        (
            "a: &x 1\n",
            "main.yml:1:4: expected no anchors and aliases, got &x; write the value itself",
        ),
        (
            "a: !!python/name:os.system x\n",
            (
                "main.yml:1:4: expected no tags, got tag:yaml.org,2002:python/name:os.system; "
                "write the value alone"
            ),
        ),
        (
            "a: 1\n---\nb: 1\n",
            "main.yml:2:1: expected one document, got a second one; remove the line ---",
        ),
        (
            "a: [1\nb: 2\n",
            "main.yml:2:2: expected YAML, got what is none: did not find expected ',' or ']'",
        ),
        (
            "a:\n\tb: 1\n",
            (
                "main.yml:2:1: expected YAML, got what is none: found character that cannot start "
                "any token"
            ),
        ),
    ],
)
def test_what_is_refused_names_its_place(text: str, problem: str) -> None:
    assert read(text)[1][:1] == [problem]


def test_control_characters_are_refused() -> None:
    _, (problem,) = read("a: 1\nb: \x01\n")
    assert problem.startswith("main.yml:2:")
    assert "expected YAML" in problem


def test_aliases_are_refused_so_that_none_can_multiply() -> None:
    levels = ["a0: &a0 [x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    _, problems = read("\n".join(levels))
    assert len(problems) == 100  # 10 anchors and 90 aliases: each is looked at once


@pytest.mark.parametrize("text", ["[" * 500_000, "a: " * 100_000, "- " * 300_000, "{a: " * 10_000])
def test_depth_is_bounded_before_anything_is_built(text: str) -> None:
    root, problems = read(text)
    assert root is None
    assert len(problems) == 1


def test_the_deepest_that_is_allowed() -> None:
    assert read("[" * (DEPTH_LIMIT + 1) + "]" * (DEPTH_LIMIT + 1))[1] == []
    (problem,) = read("[" * (DEPTH_LIMIT + 2) + "]" * (DEPTH_LIMIT + 2))[1]
    assert (
        problem == f"main.yml:1:{DEPTH_LIMIT + 2}: expected at most {DEPTH_LIMIT} levels, "
        "got what is nested deeper"
    )


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (
            b"a: 1\nb: \xff\n",
            "main.yml:2:4: expected text in UTF-8, got the octet 0xff; save the file in UTF-8",
        ),
        (
            b"a: \xff",
            "main.yml:1:4: expected text in UTF-8, got the octet 0xff; save the file in UTF-8",
        ),
        (
            b"#" * (SIZE_LIMIT + 1),
            f"main.yml: expected at most {SIZE_LIMIT} octets, got more than {SIZE_LIMIT} octets",
        ),
    ],
)
def test_files_that_are_no_text(tmp_path: Path, data: bytes, problem: str) -> None:
    path = tmp_path / "main.yml"
    path.write_bytes(data)
    problems = Problems()
    assert load(str(path), problems) is None
    assert list(map(str, problems.errors)) == [problem]


def test_missing_file_is_named_in_full(tmp_path: Path) -> None:
    problems = Problems()
    assert load(str(tmp_path / "main.yml"), problems) is None
    assert list(map(str, problems.errors)) == [
        (
            f"{tmp_path}/main.yml: expected a file that can be read, got an error (No such file or "
            "directory); name the folder of main.yml and services.yml, or write them"
        )
    ]


names = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=8).filter(
    lambda name: name not in {"null", "true", "false"}
)
# PyYAML writes YAML 1.1, where a float needs a point and a sign in its exponent: "1e5" is text.
a_float_in_yaml_1_2 = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?\Z")
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=20).filter(
        lambda text: not a_float_in_yaml_1_2.match(text)
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(names, values, max_size=5), st.booleans())
def test_what_another_library_writes_means_the_same(value: dict[str, Plain], flow: bool) -> None:
    text = yaml.safe_dump(value, default_flow_style=flow, allow_unicode=True)
    root, problems = read(text)
    assert problems == []
    assert root is not None
    assert plain(root) == value


@given(st.text(max_size=200) | st.text("ab:-[]{},&*!|>'\"%#@?\n\t 01.~", max_size=200))
@example("? ")
@example("- - ? : -")
def test_any_text_is_a_document_or_a_list_of_problems(text: str) -> None:
    root, problems = read(text)
    assert root is not None or problems
    for problem in problems:
        assert problem.startswith("main.yml")
