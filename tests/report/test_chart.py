from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from facecheck.core.tree import Skipped
from facecheck.model.checkpoint import Header
from facecheck.model.facts import facts_of
from facecheck.model.transforms import Transform
from facecheck.report.chart import LearningCurves
from facecheck.report.terminal.scanning import render_scan
from facecheck.scanner.job import ScanResult
from facecheck.training.state import Epoch


def log(*val_losses: float | None) -> list[Epoch]:
    return [
        Epoch(number, 1, 1, 1e-3, 1 / number, 0.5 + number / 10, 1, loss, None, None)
        for number, loss in enumerate(val_losses, 1)
    ]


def drawn(value: object, *, width: int = 100, encoding: str = "utf-8", **options: object) -> str:
    stream = io.BytesIO()
    file = io.TextIOWrapper(stream, encoding=encoding)
    Console(file=file, width=width, **options).print(value)  # type: ignore[arg-type]
    file.flush()
    return stream.getvalue().decode(encoding)


def columns(text: str, row: int) -> list[int]:
    """Return where a row of the first chart has dots."""
    line = text.splitlines()[row].partition("│")[2][:32]
    return [place for place, sign in enumerate(line) if sign != " "]


def test_a_falling_loss_falls_from_left_to_right() -> None:
    text = drawn(LearningCurves(log(0.9, 0.6, 0.3)))
    lines = text.splitlines()
    assert "loss" in lines[0]
    assert "top-1" in lines[0]
    assert lines[1].startswith("0.900 │")
    assert lines[6].startswith("0.300 │")
    assert lines[7].split()[:3] == ["1", "epoch", "3"]
    starts = [columns(text, row)[0] for row in range(1, 7)]
    assert starts == sorted(starts)
    assert starts[0] == 0
    assert columns(text, 6)[-1] == 31
    every = sorted({place for row in range(1, 7) for place in columns(text, row)})
    assert every == list(range(32))  # no gap


def test_colours_tell_the_splits_apart_and_without_them_validation_is_alone() -> None:
    epochs = log(0.9, 0.6, 0.3)
    assert "train" not in drawn(LearningCurves(epochs)).splitlines()[0].partition("top-1")[0]
    coloured = drawn(LearningCurves(epochs), force_terminal=True, color_system="standard")
    assert "train" in coloured.splitlines()[0]
    assert "\x1b[34m" in coloured
    assert "\x1b[33m" in coloured
    plain = drawn(LearningCurves(epochs), force_terminal=True, no_color=True)
    assert "\x1b[34m" not in plain


def test_without_validation_training_is_drawn() -> None:
    text = drawn(LearningCurves(log(None, None)))
    assert "train" in text
    assert "val" not in text


def test_one_epoch_makes_no_curve_and_equal_ones_a_flat_one() -> None:
    assert drawn(LearningCurves(log(0.5))) == ""
    assert drawn(LearningCurves(log(0.5, 0.5, 0.5))).count("\n") == 8


def test_a_terminal_of_ascii_gets_stars() -> None:
    assert "*" in drawn(LearningCurves(log(0.9, 0.3)), encoding="ascii")


def test_a_narrow_terminal_gets_one_below_the_other() -> None:
    assert all(len(line) <= 50 for line in drawn(LearningCurves(log(1, 2)), width=50).splitlines())


HEADER = Header(
    "resnet18",
    ("photo", "sketch", "generated"),
    Transform(32, 32, (0.5,) * 3, (0.5,) * 3),
    trained_on={"photo": {"album": 9}, "generated": {"gan": 2, "other\x1b": 1}},
)


@pytest.fixture
def scanned() -> ScanResult:
    return ScanResult(
        out=Path("r.csv"),
        checkpoint=Path("m.onnx"),
        model=facts_of(HEADER),
        files=100,
        rows=100,
        unwritten=0,
        resumed=0,
        dropped="",
        skipped=Skipped(),
        statuses={"ok": 90, "error": 10},
        verdicts={"real": 60, "artificial": 30},
        kinds={"photo": 60, "generated": 30},
        bases={"pixels": 90},
    )


def test_a_scan_ends_with_bars_in_proportion(scanned: ScanResult) -> None:
    lines = {line.split()[0]: line for line in drawn(render_scan(scanned)).splitlines()}
    bars = {name: lines[name].count("━") for name in ("real", "artificial", "uncertain", "error")}
    assert bars["real"] == pytest.approx(2 * bars["artificial"], abs=1)
    assert bars["uncertain"] == 0
    assert lines["error"].split()[-3:] == ["10", "10.00", "%"]
    assert lines["uncertain"].split()[1:] == ["0", "0.00", "%"]
    assert "no_face" not in lines
    assert "60 photo, 30 generated" in drawn(render_scan(scanned))


def test_a_scan_says_what_its_model_knows_and_does_not(scanned: ScanResult) -> None:
    lines = drawn(render_scan(scanned), width=500)
    assert (
        "the model knows photo, sketch and generated (gan, other\\x1b); it never saw cartoon, "
        "painting, sculpture and composite" in lines
    )
    assert "the verdict real is no proof of a real person" in lines


def test_its_colours_are_left_out_where_they_are_not_wanted(scanned: ScanResult) -> None:
    coloured = drawn(render_scan(scanned), force_terminal=True, color_system="standard")
    assert "\x1b[31martificial" in coloured
    assert "\x1b[" not in drawn(render_scan(scanned), force_terminal=True, no_color=True)
