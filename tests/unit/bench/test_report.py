"""The report holds what was measured, and says of the rest why it is missing."""

from pathlib import Path

import msgspec
import pytest
from bench.figures import Figure, Machine, Measure, Pair, Results
from bench.report import as_markdown, number, write_report

RATE = Figure("end-to-end rate", "messages/s", "more")
CPU = Figure("CPU a message", "ms", "less")
CALLS = Figure("smtpd", "system calls", "less")
MACHINE = Machine(
    processor="A processor",
    cores=2,
    memory=8 * 2**30,
    kernel="6.1",
    system="An operating system",
    file_system="ext4",
    load=0.25,
    python="3.11",
    posthouse="0.1.0",
    postfix="3.7.11",
)


def measure(
    case: str,
    figure: Figure,
    *pairs: tuple[float | None, float | None],
    group: str = "Relaying",
    size: int = 0,
) -> Measure:
    return Measure(group, case, figure, tuple(Pair(*pair) for pair in pairs), size)


def results(*measures: Measure, failures: tuple[str, ...] = (), quick: bool = False) -> Results:
    return Results("2026-01-02", MACHINE, quick, 2, 3.0, ("x: smtp-source",), measures, failures)


EXAMPLE = results(
    measure("4 KB", RATE, (500.0, 1000.0), (400.0, 1200.0)),
    measure("4 KB", CPU, (2.0, 1.0), (2.0, None)),
    measure("1 session", RATE, (1.0, 2.0), group="Sessions", size=1),
    measure("4 sessions", RATE, (2.0, 3.0), group="Sessions", size=4),
    measure("smtpd", CALLS, (None, 20.0), group="Calls and frames"),
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.000"),
        (0.1234, "0.123"),
        (1.234, "1.23"),
        (12.34, "12.3"),
        (1234.5, "1,234"),
        (-0.5, "-0.500"),
    ],
)
def test_three_digits_count(value: float, text: str) -> None:
    assert number(value) == text


def test_ratios_come_first() -> None:
    lines = as_markdown(EXAMPLE, ()).splitlines()
    assert (
        "| 4 KB | end-to-end rate, messages/s | more | **2.50** (2.00-3.00) | 1,100 | 450 |"
        in lines
    )
    assert "|  | CPU a message, ms | less | **0.500** (0.500-0.500) | 1.00 | 2.00 |" in lines


def test_a_group_without_postfix_has_no_column_for_it() -> None:
    lines = as_markdown(EXAMPLE, ()).splitlines()
    assert "| smtpd | system calls | less | 20.0 |" in lines


def test_the_circumstances_are_told() -> None:
    text = as_markdown(EXAMPLE, ())
    for part in ("A processor, 2 cores, 8 GiB", "queues on ext4", "Postfix 3.7.11", "2 pairs"):
        assert part in text


def test_what_is_missing_is_named() -> None:
    text = as_markdown(results(failures=("relay-4k: no such row",)), ())
    assert "## Not measured\n\n- relay-4k: no such row\n" in text
    assert "Not measured" not in as_markdown(EXAMPLE, ())


def test_a_trial_says_that_it_is_one() -> None:
    assert "prove nothing" in as_markdown(results(quick=True), ())
    assert "prove nothing" not in as_markdown(EXAMPLE, ())


def test_the_same_results_are_the_same_files(tmp_path: Path) -> None:
    """A second run of the report leaves no difference to be committed."""
    for name in ("first", "second"):
        write_report(EXAMPLE, tmp_path / name)
    first, second = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("first", "second")
    )
    assert first == second
    assert {"README.md", "relaying.png", "sessions.png"} == set(first)


def test_every_plot_is_shown_and_no_old_one_stays(tmp_path: Path) -> None:
    (tmp_path / "old.png").write_bytes(b"")
    write_report(EXAMPLE, tmp_path)
    text = (tmp_path / "README.md").read_text()
    shown = {path.name for path in tmp_path.glob("*.png") if f"]({path.name})" in text}
    assert (
        shown == {path.name for path in tmp_path.glob("*.png")} == {"relaying.png", "sessions.png"}
    )


def test_raw_results_can_be_reported_later() -> None:
    raw = msgspec.json.encode(EXAMPLE)
    assert msgspec.json.decode(raw, type=Results) == EXAMPLE
