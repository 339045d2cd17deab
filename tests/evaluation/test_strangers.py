from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from facecheck.core.errors import FacecheckError, ManifestError, UsageError
from facecheck.evaluation.strangers import limited, stranger_scores

ROWS = {
    "kind": ["photo"] * 5 + ["generated"] * 2,
    "source": ["many"] * 4 + ["one"] + ["gan"] * 2,
    "log_odds": [-2.0, -2.0, -2.0, -2.0, 3.0, 4.0, 5.0],
}


def table(folder: Path, **changes: Sequence[object]) -> Path:
    path = folder / "scores.csv"
    pl.DataFrame({**ROWS, **changes}).write_csv(path)
    return path


def test_each_source_counts_alike(tmp_path: Path) -> None:
    real, artificial = stranger_scores(table(tmp_path), 2.0)
    assert len(real) == 400
    assert (real > 0.5).mean() == 0.5
    assert real.max() == pytest.approx(1 / (1 + np.exp(-1.5)))
    assert len(artificial) == 200


def test_the_share_left_uncertain_is_limited() -> None:
    real = np.linspace(0, 1, 101)
    assert limited((0.1, 0.98), real, 0.02, 0.15) == pytest.approx((0.83, 0.98))
    assert limited((0.9, 0.98), real, 0.02, 0.15) == (0.9, 0.98)
    assert limited((0.1, 0.5), real, 0.02, 0.15) == (0.5, 0.5)


def test_other_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="run `facecheck leave-out`"):
        stranger_scores(tmp_path / "none.csv", 1.0)
    with pytest.raises(ManifestError, match="finite numbers only"):
        stranger_scores(table(tmp_path, log_odds=["-2"] * 6 + ["nan"]), 1.0)
    with pytest.raises(FacecheckError, match="needs photographs and artificial images"):
        stranger_scores(table(tmp_path, kind=["photo"] * 7), 1.0)
    (tmp_path / "scores.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ManifestError, match="lacks the columns"):
        stranger_scores(tmp_path / "scores.csv", 1.0)
