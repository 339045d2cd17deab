"""A curator's day: four vendors' messy deliveries become one audited, split manifest."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from draw_faces import draw_dataset
from PIL import Image

from facecheck.core.manifest import read_manifest
from tests.conftest import Outcome


@pytest.fixture
def vendors(tmp_path: Path) -> Path:
    """Four deliveries, with a picture of one vendor's test set hidden in another's."""
    drawn = tmp_path / "drawn"
    draw_dataset(drawn, 42)

    def files(kind: str, first: int, last: int) -> list[Path]:
        return sorted((drawn / kind / f"drawn-{kind}").iterdir())[first:last]

    flat = tmp_path / "flat"
    (flat / "images").mkdir(parents=True)
    rows = []
    for name, kind in (("real", "photo"), ("fake", "cartoon")):
        for at, file in enumerate(files(kind, 0, 24)):
            shutil.copy(file, flat / "images" / f"{name}{at:02}.png")
            rows.append(f'"images\\{name}{at:02}.png";"{name}";"batch {at % 3}"')
    rows.append('"images\\lost.png";"real";""')
    shutil.copy(files("photo", 24, 25)[0], flat / "images" / "unlisted.png")
    table = "\r\n".join(["image;label;batch", *rows]) + "\r\n"
    (flat / "labels.csv").write_text(table, encoding="utf-8-sig", newline="")

    tree = tmp_path / "tree"
    for part, first, last in (("train", 24, 32), ("test", 36, 42)):
        for name, kind in (("real", "photo"), ("fake", "cartoon")):
            place = tree / part / name
            place.mkdir(parents=True)
            for file in files(kind, first, last):
                shutil.copy(file, place)
    # One picture of the test set, larger and re-encoded, in the first vendor's pictures.
    twin = Image.open(files("photo", 36, 37)[0]).resize((192, 192), Image.Resampling.LANCZOS)
    twin.save(flat / "images" / "real00.png")
    # And one under the other label.
    shutil.copy(files("photo", 30, 31)[0], tree / "train" / "fake" / "mistake.png")

    ours = tmp_path / "ours" / "painting" / "studio"
    ours.mkdir(parents=True)
    for file in files("sketch", 0, 6):
        shutil.copy(file, ours)
    with zipfile.ZipFile(tmp_path / "delivery.zip", "w") as archive:
        for file in files("sketch", 6, 20):
            archive.write(file, f"delivery/sketch/atelier/{file.name}")
    return tmp_path


def test_four_vendors_become_one_audited_split_manifest(
    vendors: Path, command: Callable[..., Outcome]
) -> None:
    def run(line: str) -> str:
        done = command(*line.split())
        assert done.code == 0, done.err
        return done.out

    run("fetch --from delivery.zip --no-dedup --quiet")
    told = json.loads(
        run(
            "index flat tree ours data/manifest.csv --labels flat/labels.csv --label real=photo "
            "--label fake=generated --out all.csv --json"
        )
    )
    assert told["by_source"] == {
        "photo/flat": 24, "photo/tree": 14, "sketch/atelier": 14, "painting/studio": 6,
        "generated/flat": 24, "generated/tree": 15,
    }  # fmt: skip
    without = {table["table"]: table["without_file"] for table in told["tables"]}
    assert (told["unnamed"], without) == (1, {"flat/labels.csv": 1, "data/manifest.csv": 0})
    test = {str(file) for file in (vendors / "tree" / "test").rglob("*.png")}

    deduplicated = json.loads(run("dedup all.csv --protect tree/test --json"))
    assert (deduplicated["dropped"], deduplicated["conflicts"]) == ({"same picture": 1}, 2)
    run("audit all.csv --quiet")
    report = json.loads((vendors / "all.audit.json").read_text())
    assert report["images"] == 94
    out = run("split all.csv --keep test")
    assert "no leak" in out
    frame = read_manifest(vendors / "all.csv").frame
    assert set(frame.filter(pl.col("split") == "test")["path"]) == test
    excluded = dict(frame.filter(pl.col("excluded") != "").select("path", "excluded").iter_rows())
    assert {Path(path).name: why for path, why in excluded.items()} == {
        "real00.png": "duplicate",
        "mistake.png": "conflict",
        "030.png": "conflict",
    }
    rest = frame.filter((pl.col("split") != "test") & (pl.col("excluded") == ""))
    assert set(rest["split"]) == {"train", "val"}
    assert set(frame.filter(pl.col("source") == "flat")["batch"]) == {
        f"batch {n}" for n in range(3)
    }
    assert "no leak" in run("split --check all.csv")
