"""What is said of mistakes that people make, each tried as they would: one line, and its exit code.

Most come from the reports of people who tried the commands for the first time.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.test_commands import one_line
from tests.conftest import Outcome

Run = Callable[..., Outcome]

#: By what was mistaken: the command line, the exit code, and what is said.
NUMBERS = [
    ("split --ratio 8:1:-1", 2, "--ratio '8:1:-1': '-1' is below 0: write train:val:test"),
    ("split --ratio 8:x:1", 2, "--ratio '8:x:1': 'x' is not a number"),
    ("split --ratio 0:1:1", 2, "leaves nothing to train on"),
    ("split --kfold 1", 2, "--kfold 1: must be 2 or more"),
    ("calibrate runs/resnet50 --budget 5", 2, "for 5 % write 0.05"),
    ("scan photos --threshold 50", 2, "--threshold 50: must be from 0 to 1"),
    ("scan photos --shard 3/2", 2, "--shard '3/2': write I/N, as in 1/4"),
    ("audit --warn-above 5", 2, "--warn-above 5: must be from 0 to 1"),
    ("index data/raw --workers 0", 2, "--workers 0: must be 1 or more"),
    ("train --lr 0", 2, "--lr 0.0: must be above 0 and below 10"),
    ("train --image-size 5000", 2, "--image-size 5000: must be 16 to 4096 pixels"),
]
CHOICES = [
    ("train --device gpu", 2, "--device 'gpu' is unknown: one of auto, cuda, mps, cpu"),
    ("train --optimiser adamax", 2, "must be one of adam, adamw, sgd, rmsprop; did you mean 'ad"),
    ("export runs/resnet50 --format tflite", 2, "did you mean 'litert'?"),
    ("export runs/resnet50 --out x.pt", 2, ".onnx (onnx), .ts (torchscript)"),
    ("convert data/manifest.csv tree --layout imagenet", 2, "did you mean 'imagefolder'? (one of"),
    ("convert data/manifest.csv tree --link soft", 2, "one of hardlink, symlink, copy"),
    ("evaluate runs/resnet50 --split all", 2, "--split all: must be one of train, val, test"),
    ("scan photos --only fake", 2, "--only 'fake': the verdicts are real, artificial, uncertain"),
    ("scan photos --faces on", 2, "--faces 'on' is unknown: one of auto, off"),
    ("sources unknown", 2, "it has selfie2anime, cufs,"),
    ("sources cuf", 2, "did you mean 'cufs'"),
    ("study augmentaton", 2, "did you mean 'augmentation'"),
    ("train --recipe forensics", 2, "did you mean 'forensic'"),
    ("dedup --apply hardlink", 2, "--apply hardlink needs --to DIR"),
    ("dedup --to clean", 2, "--to clean needs --apply hardlink, symlink or move"),
    ("lr-find --out curve.xyz", 2, "--out curve.xyz: the curve is a picture: name a .png file"),
]
FOLDERS = [
    ("train --manifest photos", 2, "photos is a folder: make a manifest of it with `facecheck ind"),
    ("dedup photos", 2, "photos is a folder: make a manifest of it with `facecheck index photos`"),
    ("audit runs/resnet50", 2, "runs/resnet50 is a run folder, not a manifest"),
    ("scan photos --manifest photos", 2, "photos is a folder: make a manifest of it"),
    ("scan photos --checkpoint photos", 2, "photos is a folder, not a run folder with a checkpoin"),
    ("scan photos --known photos", 2, "photos: a folder: `facecheck known add` makes a table"),
    ("report photos", 2, "photos is a folder, not what a report is made of: name the results of a"),
    ("report data", 2, "data is a folder, not what a report is made of"),
    ("export photos", 2, "photos is a folder, not a run folder with a checkpoint"),
    ("train --weights photos", 2, "photos is a folder, not a file of weights"),
    ("train --recipe photos", 2, "photos is a folder, not a recipe: name a recipe or its YAML"),
    ("train --resume photos", 2, "photos is a folder, not a run that can be resumed"),
    ("train --resume resnet50", 2, "no run at resnet50; did you mean runs/resnet50?"),
    ("train --resume runs/resnet50", 2, "runs/resnet50 is finished: train on from it with --weig"),
    ("generate train --resume runs/resnet50", 2, "not a run that can be resumed: pass one of `fac"),
    ("place photos --copy-to x", 2, "photos is a folder, not a table of scan results"),
    ("explain photos", 2, "photos: a folder: explain takes one image file"),
    ("split --check photos", 2, "photos: no splits in it"),
]
FILES = [
    ("split portrait.jpg", 2, "portrait.jpg is a PNG, not a table: name one that ends in .csv or"),
    ("split results.csv", 2, "results.csv is a table of scan results, not a manifest"),
    ("scan data/manifest.csv", 2, "is a manifest, not an image or a folder: scan its images with"),
    ("scan results.csv", 2, "show it with `facecheck report results.csv`"),
    ("scan photos --manifest results.csv", 2, "results.csv is a table of scan results, not a man"),
    ("scan photos --known results.csv", 2, "not a table of known files: `facecheck known add`"),
    ("scan photos --checkpoint data/manifest.csv", 2, "is a manifest, not a checkpoint"),
    ("scan photos --checkpoint recipe.yaml", 2, "recipe.yaml is a YAML file, not a checkpoint"),
    ("scan photos --checkpoint portrait.jpg", 2, "portrait.jpg is a PNG, not a checkpoint"),
    ("scan photos --face-detector portrait.jpg", 2, "is a PNG, not a YuNet face detector"),
    ("scan photos --trust portrait.jpg", 2, "is a PNG, not certificates in PEM"),
    ("scan photos --marks portrait.jpg", 2, "portrait.jpg is a PNG, not a YAML file"),
    ("place data/manifest.csv --copy-to x", 2, "is a manifest, not a table of scan results: name"),
    ("place portrait.jpg --copy-to x", 2, "portrait.jpg is a PNG, not a table of scan results"),
    ("report recipe.yaml", 2, "recipe.yaml is a YAML file, not what a report is made of"),
    ("known show results.csv", 2, "results.csv is a table of scan results, not a table of known"),
    ("train --recipe data/manifest.csv", 2, "data/manifest.csv is a manifest, not a YAML file"),
    ("train --recipe portrait.jpg", 2, "portrait.jpg is a PNG, not a YAML file"),
    ("study data/manifest.csv", 2, "data/manifest.csv is a manifest, not a YAML file"),
    ("train --weights results.csv", 2, "is a table of scan results, not a file of weights"),
    ("train --teacher results.csv", 2, "is a table of scan results, not a checkpoint"),
    ("train --encoder results.csv", 2, "is a table of scan results, not an encoder"),
    ("calibrate runs/resnet50 --left-out results.csv", 2, "not a table of scores: pass the scores"),
    ("split --check results.csv", 2, "results.csv is a table of scan results, not a split data"),
    ("convert portrait.jpg m.csv", 2, "portrait.jpg is a PNG, not a table"),
    ("convert data/manifest.csv m.xlsx", 2, "a table's name must end in .csv or .parquet; for a"),
    ("fetch --from portrait.jpg", 2, "is neither a folder nor a zip or tar archive"),
    ("calibrate builtin", 2, "name a file for yours with --out, such as calibrated.safetensors"),
    ("calibrate builtin-fast", 2, "name a file for yours with --out, such as calibrated.onnx"),
]
#: What is there, and is not what it should be: nothing in the command line is wrong.
DATA = [
    ("split short.csv", 1, "short.csv: no column 'kind' (it has path, source)"),
    ("index texts --kind photo --source s --out t.csv", 1, "not one of 1 images could be read"),
    ("scan photos --checkpoint cut.safetensors", 1, "not a whole safetensors file"),
]
#: What nothing matches: another command line would.
NOTHING = [
    ("scan photos --include *.tiff", 2, "no images in photos (skipped 4 images that the globs"),
    ("index empty --out e.csv", 2, "no images in empty: check the folder, or the endings"),
    ("scan empty", 2, "no images in empty: check the folder, or the endings of its files"),
    ("provenance empty", 2, "no images in empty"),
    ("scan nothing", 2, "nothing to scan at nothing: check the path"),
    ("scan photos --budget 0.03", 2, "the model is not calibrated: run `facecheck calibrate RUN"),
    ("evaluate runs/resnet50 --manifest unsplit.csv", 2, "no records in split 'test': run `face"),
    ("evaluate runs/resnet50 --sources nosuch", 2, "no record is of 'nosuch': there are cartoon"),
    ("evaluate runs/resnet50 --manifest other.csv", 2, "leave them out with --sources, such as"),
    ("convert photos m.csv", 2, "no images of layout imagefolder in it: see --layout"),
    ("merge all.csv results.csv", 2, "results of separate scans can be joined row by row"),
]
CASES = [*NUMBERS, *CHOICES, *FOLDERS, *FILES, *DATA, *NOTHING]


@pytest.fixture(scope="session")
def mistaken(workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace, with what else the cases name."""
    import polars as pl

    folder = tmp_path_factory.mktemp("mistaken") / "work"
    shutil.copytree(workspace, folder)
    (folder / "empty").mkdir()
    (folder / "texts").mkdir()
    (folder / "texts" / "a.jpg").write_text("text")
    (folder / "recipe.yaml").write_text("epochs: 5\n")
    (folder / "short.csv").write_text("path,source\na.jpg,s\n")
    whole = (folder / "runs" / "resnet50" / "best.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    table = pl.read_csv(folder / "data" / "manifest.csv", infer_schema=False)
    absolute = pl.concat_str(pl.lit(f"{folder}/data/"), "path").alias("path")
    table.with_columns(absolute, split=pl.lit("")).write_csv(folder / "unsplit.csv")
    table.with_columns(absolute, kind=pl.lit("painting")).write_csv(folder / "other.csv")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("line", "code", "said"), CASES, ids=[case[0] for case in CASES])
def test_a_mistake_is_named_with_what_to_do(
    command: Run, monkeypatch: pytest.MonkeyPatch, mistaken: Path,
    line: str, code: int, said: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(mistaken)
    done = command(*line.split())
    # A scan says first whose model answers, since nobody named it.
    notes, _, last = done.err.rstrip("\n").rpartition("\n")
    assert not notes or notes.startswith("facecheck: the newest run answers")
    assert said in one_line(Outcome(done.code, done.out, f"{last}\n"))
    assert done.code == code
    assert done.out == ""


@pytest.mark.parametrize("ratio", ["80/10/10", "0.8,0.1,0.1", "8:1:1", "80 / 10 / 10"])
def test_a_ratio_may_be_written_as_people_write_it(ratio: str) -> None:
    from facecheck import SplitOptions

    assert SplitOptions(ratio=ratio).shares == pytest.approx((0.8, 0.1, 0.1))
