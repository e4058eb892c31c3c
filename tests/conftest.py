"""Fixtures and rules of all tests."""

import compileall
import contextlib
import itertools
import os
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest
import support
from support.folders import reachable_folder
from support.instance import Instance, NewInstance, Settings
from support.needs import missing, require_all

import mta

# How long an example takes, or the making of one, is the machine's affair.
hypothesis.settings.register_profile(
    "posthouse", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("posthouse")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "requires(*needs): commands, or `root`: what the test needs to run"
    )
    os.umask(0o022)  # users of daemons pass through folders that tests make
    if not hasattr(config, "workerinput"):
        _prepare_code()


def _prepare_code() -> None:
    """Insist on the code beside these tests; compile it, which daemons of other users cannot."""
    package = Path(mta.__file__).parent
    if package.parent != Path(support.__file__).parents[2]:
        raise pytest.UsageError(f"the tests would run on {package}: use make test")
    if os.geteuid() == 0:
        compileall.compile_dir(package, quiet=1)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("requires"):
        for need in marker.args:
            if reason := missing(need):
                pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse_skip(report)
    return report


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Where everything is required, a skip is a failure; it keeps its reason."""
    if report.skipped and require_all() and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, although REQUIRE_ALL=1: {report.longrepr}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show where daemons were killed: a histogram over the tests that say so."""
    struck = Counter(
        str(value)
        for report in terminalreporter.getreports("passed")
        for name, value in report.user_properties
        if name == "struck" and report.when == "call"
    )
    if struck:
        terminalreporter.section("killed at")
        for stage, count in struck.items():
            terminalreporter.line(f"{count:4d}  {stage}")


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder with a short name, gone afterwards; daemons of other users can pass it."""
    with reachable_folder() as folder:
        yield folder


@contextlib.contextmanager
def _instances(base: Path) -> Iterator[NewInstance]:
    # Each is closed, even when closing another failed.
    with contextlib.ExitStack() as stack:
        numbers = itertools.count()

        def make(
            parameters: Settings | None = None,
            services: Settings | None = None,
            *,
            directory: Path | None = None,
            profile: str = "hub",
        ) -> Instance:
            made = Instance(directory or base / str(next(numbers)), parameters, services, profile)
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def new_instance(short_path: Path) -> Iterator[NewInstance]:
    """Make systems, each in a folder of its own; at the end all are stopped, whatever happened."""
    with _instances(short_path) as make:
        yield make


@pytest.fixture
def instance(new_instance: NewInstance) -> Instance:
    """One running system with the defaults."""
    running = new_instance()
    running.start()
    return running


@pytest.fixture(scope="module")
def shared_instance() -> Iterator[Instance]:
    """One running system for all tests of a module that leave it as they found it."""
    with reachable_folder() as folder, _instances(folder) as make:
        running = make()
        running.start()
        yield running
