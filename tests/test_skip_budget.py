"""A run fails when more tests are skipped than the budget allows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow  # each runs a pytest of its own

SKIPPING = """
import pytest

def test_one():
    pytest.skip("no camera")

def test_two():
    pytest.skip("no camera")

def test_three():
    pass
"""
NOT_COLLECTED = "import pytest\npytest.importorskip('no_such_package', reason='no package')\n"


def run(folder: Path, budget: str, *more: str) -> subprocess.CompletedProcess[str]:
    """Run the tests in ``folder`` under a budget."""
    (folder / "budget.yaml").write_text(budget)
    alone = ["-q", "-c", "/dev/null", "--rootdir", str(folder), "-p", "tests.skip_budget", *more]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *alone, "--skip-budget", folder / "budget.yaml", folder],
        cwd=ROOT, env={**os.environ, "PYTEST_ADDOPTS": ""},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("allowed", [2, 3])
def test_skips_within_the_budget_pass(tmp_path: Path, allowed: int) -> None:
    (tmp_path / "test_a.py").write_text(SKIPPING)
    done = run(tmp_path, f"no camera: {allowed}\n")
    assert done.returncode == 0, done.stdout
    assert "over the budget" not in done.stdout


@pytest.mark.slow
def test_a_skip_more_than_allowed_fails_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text(SKIPPING)
    done = run(tmp_path, "no camera: 1\n")
    assert done.returncode == 1
    assert "over the budget of skips: 2 skipped, 1 allowed: no camera" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("processes", [(), ("-n", "2")])
def test_a_module_that_is_skipped_as_a_whole_counts(
    tmp_path: Path, processes: tuple[str, ...]
) -> None:
    (tmp_path / "test_a.py").write_text(SKIPPING)
    (tmp_path / "test_b.py").write_text(NOT_COLLECTED)
    done = run(tmp_path, "no camera: 2\n", *processes)
    assert done.returncode == 1
    assert "1 skipped, 0 allowed: no package" in done.stdout
    done = run(tmp_path, "no camera: 1\nno package: 1\n", *processes)
    assert done.returncode == 1
    assert "over the budget of skips: 2 skipped, 1 allowed: no camera" in done.stdout
    assert run(tmp_path, "no camera: 2\nno package: 1\n", *processes).returncode == 0
