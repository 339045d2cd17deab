from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facecheck.evaluation.studies.runs import Run
from facecheck.evaluation.studies.study import StudyResult
from facecheck.evaluation.studies.summary import VariantRow
from facecheck.report.plots import plot_study


def result(axis: str | None, *, seeds: int = 3, paper: float | None = 0.7) -> StudyResult:
    """Return a made-up study of three variants."""
    runs, rows = [], []
    for number, at in enumerate((0.25, 0.5, 1.0)):
        shares = [0.6 + 0.1 * number + 0.02 * seed for seed in range(seeds)]
        name = f"fraction={at:g}" if axis else ("a $name$", "five crops", "all")[number]
        rows.append(
            VariantRow(
                variant=name,
                series="" if axis else name,
                at=at if axis else None,
                runs=seeds,
                top1=float(np.mean(shares)),
                deviation=0.02 if seeds > 1 else None,
                interval=(shares[0] - 0.05, shares[-1] + 0.05) if seeds > 1 else None,
                pooled=(shares[0] - 0.03, shares[0] + 0.03),
                by_kind={},
                judge={},
                seconds=1.0,
                paper=paper,
            )
        )
        runs += [
            Run(name, seed, {}, "", "cpu", "", 1, 1.0, 1, None, 9, 6, top1, 1, 1, 1, {}, {}, {}, 0)
            for seed, top1 in enumerate(shares)
        ]
    return StudyResult(
        Path("s"), Path("m"), "Title", "Question?", axis, tuple(rows), tuple(runs), 0
    )


def pixels(path: Path, colour: str) -> int:
    """Return how many pixels of a PNG are just this colour."""
    wanted = tuple(int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return int((np.asarray(Image.open(path).convert("RGB")) == wanted).all(axis=-1).sum())


@pytest.mark.parametrize("axis", [None, "fraction"])
@pytest.mark.parametrize("seeds", [1, 3])
def test_a_study_is_drawn(tmp_path: Path, axis: str | None, seeds: int) -> None:
    plot_study(result(axis, seeds=seeds), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.format == "PNG"
        assert image.width == 1200
    assert pixels(tmp_path / "a.png", "#0072B2") > 300  # means and intervals
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("axis", [None, "fraction"])
def test_the_papers_figures_are_drawn_where_there_are_any(tmp_path: Path, axis: str | None) -> None:
    plot_study(result(axis), tmp_path / "with.png")
    plot_study(result(axis, paper=None), tmp_path / "without.png")
    with_paper, without = (
        pixels(tmp_path / name, "#000000") for name in ("with.png", "without.png")
    )
    assert with_paper > without + 100


def test_one_study_gives_one_picture_and_another_another(tmp_path: Path) -> None:
    first = result(None)
    moved = replace(first.variants[0], top1=0.5)
    for name, study in (
        ("a", first),
        ("b", first),
        ("c", replace(first, variants=(moved, *first.variants[1:]))),
    ):
        plot_study(study, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


def test_no_logarithmic_axis_keeps_labels_that_need_math() -> None:
    r"""With ``text.parse_math`` off, the usual labels of a logarithmic axis show ``$\mathdefault``.

    So each function that makes an axis logarithmic takes plain numbers, or no minor ticks.
    """
    import ast

    import facecheck.report

    checked = 0
    for path in Path(facecheck.report.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                body = ast.unparse(node)
                if "scale('log'" in body:
                    checked += 1
                    assert "plain_numbers(" in body or "minorticks_off()" in body, (path, node.name)
    assert checked >= 6
