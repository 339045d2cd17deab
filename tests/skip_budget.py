"""A budget of skipped tests, so that a test which stops running is noticed.

``pytest --skip-budget FILE`` fails a run in which, for any reason, more tests are skipped than FILE
allows: a YAML mapping of reasons, as ``pytest -rs`` prints them, to counts. ``.ci/run`` passes
``tests/skip_budget.yaml``.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

#: What a process of pytest-xdist reports under this name: the reasons of skipped modules.
MODULES = "skipped_modules"


class SkipBudget:
    """Counts the skips of a run by reason, and compares the counts with what is allowed."""

    def __init__(self, allowed: dict[str, int]) -> None:
        self.allowed = allowed
        self.tests: Counter[str] = Counter()
        self.modules: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a skipped test."""
        self.tests.update(reasons(report))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Count a module skipped as it was collected."""
        self.modules.update(reasons(report))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over the modules that a process of pytest-xdist skipped: each collects all."""
        self.modules |= Counter(getattr(node, "workeroutput", {}).get(MODULES, {}))

    def exceeded(self) -> list[str]:
        """Return a line for each reason that more tests gave than is allowed."""
        return [
            f"{count} skipped, {self.allowed.get(reason, 0)} allowed: {reason}"
            for reason, count in sorted((self.tests + self.modules).items())
            if count > self.allowed.get(reason, 0)
        ]

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Let an otherwise successful run fail; a process of pytest-xdist reports instead."""
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput[MODULES] = dict(self.modules)
        elif self.exceeded() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say which reasons exceed the budget."""
        for line in self.exceeded():
            terminalreporter.write_line(f"over the budget of skips: {line}", red=True)


def reasons(report: pytest.TestReport | pytest.CollectReport) -> list[str]:
    """Return why something was skipped, if it was."""
    if report.skipped and isinstance(report.longrepr, tuple):  # a failure that is expected is not
        return [report.longrepr[2].removeprefix("Skipped: ")]
    return []


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--skip-budget``."""
    text = "fail if more tests are skipped, for any reason, than this YAML file allows"
    # Text: pytest-xdist hands options to its processes, and knows no paths.
    parser.addoption("--skip-budget", metavar="FILE", help=text)


def pytest_configure(config: pytest.Config) -> None:
    """Count skips when asked to."""
    file = config.getoption("skip_budget")
    if file is not None:
        allowed = yaml.safe_load(Path(file).read_text()) or {}
        config.pluginmanager.register(SkipBudget(allowed))
