"""A budget of skipped tests, so that a test which stops running is noticed.

``pytest --skip-budget FILE`` fails a run in which, for any reason, more tests are skipped than FILE
allows: a YAML mapping of reasons, as ``pytest -rs`` prints them, to counts. ``.ci/run`` passes
``tests/skip_budget.yaml``.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import yaml


class SkipBudget:
    """Counts the skips of a run by reason, and compares the counts with what is allowed."""

    def __init__(self, allowed: dict[str, int]) -> None:
        self.allowed = allowed
        self.skips: Counter[str] = Counter()

    def count(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        """Count a skipped test, or a module skipped as it was collected."""
        if report.skipped and isinstance(
            report.longrepr, tuple
        ):  # a failure that is expected is not
            self.skips[report.longrepr[2].removeprefix("Skipped: ")] += 1

    pytest_runtest_logreport = count
    pytest_collectreport = count

    def exceeded(self) -> list[str]:
        """Return a line for each reason that more tests gave than is allowed."""
        return [
            f"{count} skipped, {self.allowed.get(reason, 0)} allowed: {reason}"
            for reason, count in sorted(self.skips.items())
            if count > self.allowed.get(reason, 0)
        ]

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Let an otherwise successful run fail."""
        if self.exceeded() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say which reasons exceed the budget."""
        for line in self.exceeded():
            terminalreporter.write_line(f"over the budget of skips: {line}", red=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--skip-budget``."""
    text = "fail if more tests are skipped, for any reason, than this YAML file allows"
    parser.addoption("--skip-budget", type=Path, metavar="FILE", help=text)


def pytest_configure(config: pytest.Config) -> None:
    """Count skips when asked to."""
    file = config.getoption("skip_budget")
    if file is not None:
        allowed = yaml.safe_load(file.read_text()) or {}
        config.pluginmanager.register(SkipBudget(allowed))
