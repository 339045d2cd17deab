"""explain as people use it, and the picture it leaves."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from facecheck.engines.load import load_predictor
from facecheck.report.explain import explain
from facecheck.scanner.job import scan
from facecheck.scanner.options import ExplainOptions, ScanOptions
from facecheck.scanner.results.columns import COLUMNS
from facecheck.scanner.results.rows import read_rows
from tests.conftest import Outcome
from tests.scanner.conftest import pasted

Run = Callable[..., Outcome]


@pytest.fixture
def face(drawn: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(drawn / "photo" / "drawn-photo" / "003.png", tmp_path / "a.png"))


@pytest.mark.slow
def test_the_card_and_the_picture(
    command: Run, face: Path, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    explained = ("explain", face.name, "--faces", "off", "--checkpoint", trained[1])
    done = command(*explained)
    assert done.code == 0, done.err
    verdict = load_predictor(trained[1]).predictions(_inputs(face, trained[1]))[0]
    assert verdict.verdict in done.out
    assert f"{verdict.score:.3f}" in done.out
    assert "a.png, 96 x 96" in done.out
    for kind, share in verdict.probabilities.items():
        line = next(line for line in done.out.splitlines() if f" {kind} " in line)
        assert f"{100 * share:.2f} %" in line
    assert "\x1b" not in done.out
    with Image.open(tmp_path / "a.explained.png") as picture:
        assert picture.width > 1000
    again = command(*explained)
    assert again.code == 2
    assert again.err == "facecheck: a.explained.png exists: pass --overwrite to replace it\n"
    assert command(*explained, "--overwrite", "--quiet") == Outcome(0, "", "")


def _inputs(file: Path, checkpoint: Path) -> npt.NDArray[np.uint8]:
    from facecheck.model.transforms import load_input

    return load_input(file, load_predictor(checkpoint).header.transform)[None]


def test_json_has_the_same(command: Run, face: Path, trained: tuple[Path, Path]) -> None:
    done = command("explain", face, "--faces", "off", "--checkpoint", trained[1], "--json")
    told = json.loads(done.out)
    (one,) = told["explained"]
    assert list(one) == ["verdict", "view", "face", "hottest", "hidden_score"]
    assert one["view"] == "whole"
    assert told["faces"] is None
    assert sum(one["verdict"]["probabilities"].values()) == pytest.approx(1)
    side = one["hottest"]
    assert 0 <= side["left"] <= 32 - side["width"]
    assert 0 <= one["hidden_score"] <= 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "<img src=x onerror=alert(1)>.png",
        "two\nlines\x1b[31m.png",
        "[red]markup.png",
        "x" * 251 + ".png",
        "é" * 125 + ".png",
        os.fsdecode(b"caf\xe9.png"),
        "-rf.png",
        "日本.png",
    ],
)
def test_hostile_names_show_as_text(
    command: Run, face: Path, trained: tuple[Path, Path], tmp_path: Path, name: str
) -> None:
    hostile = face.rename(tmp_path / name)
    done = command("explain", "--faces", "off", "--checkpoint", trained[1], "--", hostile.name)
    assert done.code == 0, done.err
    assert "\x1b" not in done.out
    (written,) = tmp_path.glob("*.explained.png")
    assert written.name.encode("utf-8", "surrogateescape")[:3] == os.fsencode(name)[:3]
    if len(name) < 100 and name.isascii() and name.isprintable():
        assert name in done.out


def test_what_cannot_be_judged_is_said(
    command: Run, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    Image.new("RGB", (20, 20), "red").save(tmp_path / "small.png")
    (tmp_path / "text.jpg").write_text("not a picture")
    options = ("--checkpoint", trained[1], "--faces", "off")
    bad = command("explain", "text.jpg", *options)
    assert bad.code == 3
    assert "error: The file cannot be read: a text file, not an image." in bad.out
    assert not list(tmp_path.glob("*.explained.png"))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nothing.jpg"], 2, "nothing.jpg: no file: explain takes one image file"),
        (["."], 2, ".: a folder: explain takes one image file"),
        (["a.png", "--out", "a.gif"], 2, "a.gif: the picture is a PNG"),
        (["a.png", "--out", "a.png", "--overwrite"], 2, "a.png: the image itself"),
        (["a.png", "--out", "/proc/x.png"], 1, "/proc/x.png: cannot be written"),
        (["a.png", "--checkpoint", "none"], 2, "no checkpoint at none"),
        (["a.png", "--device", "abacus"], 2, "abacus"),
    ],
)
def test_a_mistake_is_one_line(
    command: Run, face: Path, trained: tuple[Path, Path], arguments: list[str], code: int,
    message: str,
) -> None:  # fmt: skip
    known = [] if "--checkpoint" in arguments else ["--checkpoint", str(trained[1])]
    done = command("explain", *arguments, "--faces", "off", *known)
    assert done.code == code
    assert done.err.startswith("facecheck: ")
    assert done.err.count("\n") == 1
    assert message in done.err


@pytest.mark.slow
def test_every_face_is_explained_as_a_scan_judges_it(
    portraits: list[Path], detector: Path, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    """The pixels are the scan's own: so are the answers."""
    image = tmp_path / "two.jpg"
    pasted((900, 500), [(portraits[0], 50, 50, 300), (portraits[1], 500, 100, 350)]).save(image)
    options = ExplainOptions(face_detector=detector, device="cpu")
    result = explain(image, trained[1], tmp_path / "two.png", options)
    assert (result.status, result.faces) == ("ok", 2)
    table = tmp_path / "rows.csv"
    scan([image], table, trained[1], ScanOptions(face_detector=detector, per_face=True))
    rows = list(read_rows(table, COLUMNS))
    assert [row["face_left"] for row in rows] == [
        one.face.box.left for one in result.explained if one.face
    ]
    assert [row["score"] for row in rows] == pytest.approx(
        [one.verdict.score for one in result.explained], abs=1e-5
    )
    assert {one.view for one in result.explained} == {"face"}


def test_without_a_face_nothing_is_explained(
    command: Run, detector: Path, portraits: list[Path], drawn: Path, trained: tuple[Path, Path],
    tmp_path: Path,
) -> None:  # fmt: skip
    """By a model that takes nothing for one made by hand."""
    predictor = load_predictor(trained[1])
    lenient = tmp_path / "lenient.safetensors"
    predictor.save(replace(predictor.header, thresholds=(1.0, 1.0)), lenient)
    shutil.copy(drawn / "photo" / "drawn-photo" / "000.png", tmp_path / "none.png")
    pasted((640, 480), [(portraits[0], 50, 50, 30)]).save(tmp_path / "tiny.png")
    for name, told in (
        ("none", "no_face: No face was found"),
        ("tiny", "too_small: Too small to be classified: the largest face has"),
    ):
        done = command("explain", f"{name}.png", "--face-detector", detector, "--checkpoint",
                       lenient)  # fmt: skip
        assert done.code == 0
        assert told in done.out
        assert "score" not in done.out
        assert (tmp_path / f"{name}.explained.png").is_file()
