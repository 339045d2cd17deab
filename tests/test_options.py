"""What is at odds in options is refused when they are made, from Python and by a flag alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import facecheck
from facecheck.core.errors import UsageError

CASES: dict[str, tuple[Callable[[], object], str]] = {
    "a ratio of one number": (
        lambda: facecheck.SplitOptions(ratio="8"),
        "--ratio '8' is not two or more numbers",
    ),
    "folds with a source held out": (
        lambda: facecheck.SplitOptions(kfold=3, hold_out_source=("s",)),
        "folds do not",
    ),
    "a tree without a way to make it": (
        lambda: facecheck.DedupOptions(to=Path("clean")),
        "--to clean needs --apply",
    ),
    "a kind without a source": (
        lambda: facecheck.FetchOptions(origin=Path("a"), kind="photo"),
        "--kind and --source go together",
    ),
    "a kind of what is downloaded": (
        lambda: facecheck.FetchOptions(kind="photo", source="s"),
        "describe a local --from",
    ),
    "a resumed run under another name": (
        lambda: facecheck.TrainOptions(resume=Path("runs/a"), name="b"),
        "a resumed run keeps its folder",
    ),
    "a budget in percent": (lambda: facecheck.CalibrateOptions(budget=5), "for 5 % write 0.05"),
    "a threshold that is no number": (
        lambda: facecheck.ScanOptions(threshold=float("nan")),
        "--threshold nan: must be from 0 to 1",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_at_odds_is_refused(case: str) -> None:
    make, message = CASES[case]
    with pytest.raises(UsageError, match=message) as refused:
        make()
    assert "\n" not in str(refused.value)


def test_folds_have_equal_shares_and_columns_lose_their_spaces() -> None:
    assert facecheck.SplitOptions(kfold=4).shares == (0.25,) * 4
    assert facecheck.SplitOptions(by="kind, source,").strata == ("kind", "source")


def test_text_becomes_a_path() -> None:
    assert facecheck.SplitOptions(out="m.csv").out == Path("m.csv")  # type: ignore[arg-type]
