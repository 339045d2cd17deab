"""scan, scan --per-face, explain, Checker and the attribution maps give one answer to a picture."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import facecheck
from facecheck.core.labels import Verdict
from facecheck.core.workspace import BUILTIN_FAST
from facecheck.report.explain import ExplainResult, explain
from facecheck.report.heat_pictures import heat_pictures
from facecheck.scanner.answers import Answer
from facecheck.scanner.checker import Checker
from facecheck.scanner.inputs.reach import EVERYWHERE
from facecheck.scanner.job import scan
from facecheck.scanner.options import CheckOptions, ExplainOptions, ScanOptions
from facecheck.scanner.results.columns import COLUMNS
from facecheck.scanner.results.rows import Row, read_rows
from tests.scanner.conftest import pasted

#: A score has six decimals in a row, and the batch around a crop may move the last one.
CLOSE = 2e-6


@pytest.fixture(scope="module")
def scenes(portraits: list[Path], drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 20 scenes: one without a face, one with five, one drawing, close-ups, others."""
    folder = tmp_path_factory.mktemp("scenes")
    for number, image in enumerate(_scenes(portraits, drawn)):
        image.save(folder / f"{number:02}.png")
    assert len(list(folder.iterdir())) == 20
    return folder


def _scenes(portraits: list[Path], drawn: Path) -> Iterator[Image.Image]:
    chosen = np.random.default_rng(0)
    yield Image.fromarray(chosen.integers(0, 256, (480, 640, 3), dtype=np.uint8))
    five = [(portraits[n], 20 + 310 * n, 60 + 40 * n, 240 + 10 * n) for n in range(5)]
    yield pasted((1700, 700), five)
    yield Image.open(drawn / "cartoon" / "drawn-cartoon" / "000.png").resize((400, 400))
    yield pasted((900, 600), [(portraits[0], 600, 100, 44)])  # too small
    yield Image.open(portraits[1])  # a close-up, which is classified whole
    yield Image.open(portraits[2])
    for number in range(10):  # a photograph in a scene
        side = int(chosen.integers(180, 360))
        place = (int(chosen.integers(0, 400)), int(chosen.integers(0, 200)))
        yield pasted((900, 600), [(portraits[number], *place, side)])
    for number in range(4):  # two
        first = (portraits[number], 40, 60, int(chosen.integers(200, 320)))
        second = (portraits[9 - number], 520, 180, int(chosen.integers(200, 320)))
        yield pasted((1000, 600), [first, second])


@pytest.fixture(scope="module")
def rows(
    scenes: Path, detector: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[Row], list[Row]]:
    """The scenes' rows, one for each file and one for each face."""
    folder = tmp_path_factory.mktemp("rows")
    for per_face in (False, True):
        options = ScanOptions(face_detector=detector, per_face=per_face, workers=2)
        scan([scenes], folder / f"{per_face}.csv", BUILTIN_FAST, options)
    one, each = (list(read_rows(folder / f"{name}.csv", COLUMNS)) for name in (False, True))
    return one, each


def box_of(row: Row) -> tuple[object, ...]:
    return tuple(row[f"face_{name}"] for name in ("left", "top", "width", "height"))


def same_image(row: Row, answer: Answer | ExplainResult) -> bool:
    return (row["status"], row["faces"], row["width"], row["height"], row["message"]) == (
        answer.status,
        answer.faces,
        answer.width,
        answer.height,
        answer.message,
    )


@pytest.mark.slow
def test_a_checker_answers_as_a_scan(
    scenes: Path, detector: Path, rows: tuple[list[Row], list[Row]]
) -> None:
    checker = Checker(BUILTIN_FAST, CheckOptions(face_detector=detector))
    statuses, verdicts = set(), []
    for row in rows[0]:
        answer = checker.check(str(row["path"]))
        assert same_image(row, answer), row
        assert (row["verdict"] or None, row["kind"] or None) == (answer.verdict, answer.kind)
        assert row["view"] == answer.view
        assert row["score"] == (
            None if answer.score is None else pytest.approx(answer.score, abs=CLOSE)
        )
        if answer.box is not None:
            box = answer.box
            assert box_of(row) == (box.left, box.top, box.width, box.height)
        assert len(answer.classified) == sum(
            each["path"] == row["path"] and each["score"] is not None for each in rows[1]
        )
        statuses.add(str(answer.status))
        verdicts.append(answer.verdict)
    assert {"ok", "no_face", "too_small"} <= statuses
    # What was wrong: whole scenes were classified, and photographs in them called artificial.
    assert verdicts[6:16].count(Verdict.REAL) >= 5
    assert verdicts[6:16].count(Verdict.ARTIFICIAL) <= 1


@pytest.mark.slow
def test_pixels_in_memory_and_many_at_once_have_the_answers_of_a_scan(
    scenes: Path, detector: Path, rows: tuple[list[Row], list[Row]]
) -> None:
    checker = Checker(BUILTIN_FAST, CheckOptions(face_detector=detector))
    paths = [str(row["path"]) for row in rows[0]]
    arrays = (np.asarray(Image.open(path).convert("RGB")) for path in paths)
    ways = {
        "paths": checker.check_many(paths, batch_size=7),
        "bytes": checker.check_many((Path(path).read_bytes() for path in paths), batch_size=3),
        "images": checker.check_many(map(Image.open, paths)),
        "arrays": checker.check_many(arrays, batch_size=1),
    }
    for way, answers in ways.items():
        for row, answer in zip(rows[0], answers, strict=True):
            assert same_image(row, answer), (way, row)
            assert (row["verdict"] or None, row["kind"] or None) == (answer.verdict, answer.kind)
            score = None if answer.score is None else pytest.approx(answer.score, abs=CLOSE)
            assert row["score"] == score, (way, row)
            assert answer.box is None or answer.box in answer.boxes
            if answer.box is not None:
                box = answer.box
                assert box_of(row) == (box.left, box.top, box.width, box.height)


@pytest.mark.slow
def test_each_face_has_one_answer_in_a_scan_of_faces_and_in_explain(
    scenes: Path, detector: Path, rows: tuple[list[Row], list[Row]], tmp_path: Path
) -> None:
    each = rows[1]
    for number, path in enumerate(sorted(scenes.iterdir())):
        options = ExplainOptions(face_detector=detector)
        result = explain(path, BUILTIN_FAST, tmp_path / f"{number}.png", options)
        mine = [row for row in each if row["path"] == str(path)]
        # A row for one face says why that face is uncertain, an image's why the image is.
        of_image = {**mine[0], "message": result.message} if len(mine) > 1 else mine[0]
        assert same_image(of_image, result), path
        scored = [row for row in mine if row["score"] is not None]
        assert len(scored) == len(result.explained)
        for row, one in zip(scored, result.explained, strict=True):
            assert row["score"] == pytest.approx(one.verdict.score, abs=CLOSE)
            assert (row["verdict"], row["kind"]) == (one.verdict.verdict, one.verdict.kind)
            assert one.verdict.reason in str(row["message"])
            assert row["view"] == one.view
            if one.face is not None:
                box = one.face.box
                assert box_of(row) == (box.left, box.top, box.width, box.height)


def rank(row: Row) -> tuple[int, float]:
    order = ("", "real", "uncertain", "artificial")
    return order.index(str(row["verdict"])), float(row["score"] or 0)


def test_a_file_has_the_row_of_its_most_artificial_face(
    rows: tuple[list[Row], list[Row]],
) -> None:
    one, each = rows
    assert len(one) == 20
    for row in one:
        mine = [other for other in each if other["path"] == row["path"]]
        assert row == max(mine, key=rank)
    assert max(int(row["faces"] or 0) for row in one) == 5


@pytest.mark.slow
def test_every_row_with_a_verdict_has_an_attribution_map(
    detector: Path, rows: tuple[list[Row], list[Row]]
) -> None:
    few = [row for row in rows[1] if str(row["path"]).endswith(("00.png", "01.png", "03.png"))]
    drawn = heat_pictures(few, checkpoint=BUILTIN_FAST, reach=EVERYWHERE, face_detector=detector)
    pictures = list(drawn)
    assert [picture is not None for picture in pictures] == [row["status"] == "ok" for row in few]
    assert sum(picture is not None for picture in pictures) >= 5


def test_the_walk_through_a_scan_names_every_file_once() -> None:
    text = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text(encoding="utf-8")
    walk = text.partition("## An image's walk through a scan")[2].partition("\n## ")[0]
    files = re.findall(r"^\| `([a-z_/]+\.py)`", walk, re.MULTILINE)
    root = Path(facecheck.__file__).parent
    assert len(files) > 15
    assert [file for file in files if not (root / file).is_file()] == []
    assert len(set(files)) == len(files)
    walked = {file for file in files if file.startswith("scanner/")}
    # What a scan of plain files never enters.
    others = {"checker", "crop", "watch", "options", "merge", "place", "on_ray", "named", "frame"}
    others |= {"archives", "isolated_listing", "reach", "remote", "path_list", "provenance"}
    others |= {"__init__", "rejects", "sheet", "update", "classified_picture"}
    others |= {"tracks", "video", "video_job", "video_picture"}
    there = {str(path.relative_to(root)) for path in (root / "scanner").rglob("*.py")}
    assert {file for file in there if Path(file).stem not in others} == walked
