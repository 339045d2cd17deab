from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from scipy import stats

from facecheck.core.errors import ConfigError, FacecheckError, UsageError
from facecheck.core.manifest import Manifest, read_manifest, write_manifest
from facecheck.evaluation.options import StudyOptions
from facecheck.evaluation.studies.runs import Run
from facecheck.evaluation.studies.spec import load_study, study_names
from facecheck.evaluation.studies.study import StudyResult, study
from facecheck.evaluation.studies.summary import student_interval
from facecheck.model.metrics import wilson
from facecheck.report.study_page import study_page
from facecheck.training.recipe import Recipe
from tests.conftest import SMALL

#: What every recipe of these studies has in common.
BASE = {
    name: value
    # "auto" times a probe, which may fall out otherwise on a busy machine.
    for name, value in replace(SMALL, epochs=1, precision="fp32").jsonable().items()
    if value != getattr(Recipe(), name) and name != "seed"
}
SPEC = {
    "title": "Two rates",
    "question": "Does the rate matter?",
    "base": BASE,
    "variants": {"slow | steady": {"lr": 0.0001}, "fast": {"lr": 0.01}},
    "seeds": [0, 1],
    "paper": {"fast": 76.75},
    "paper_says": "nothing of this.",
    "judge": ["photo + cartoon/drawn-cartoon", "sketch"],
}

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a study's file, with changes (None takes a key away)."""

    def spec_file(**changes: Any) -> Path:
        spec = {name: value for name, value in {**SPEC, **changes}.items() if value is not None}
        path = tmp_path / "spec.yaml"
        path.write_text(yaml.safe_dump(spec, sort_keys=False))
        return path

    return spec_file


@pytest.fixture(scope="module")
def finished(
    trained: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, StudyResult]:
    """The study of ``SPEC``, run at one go. Not to be changed."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "spec.yaml").write_text(yaml.safe_dump(SPEC, sort_keys=False))
    spec = load_study(folder / "spec.yaml")
    return folder, study(spec, trained[0], folder / "out", StudyOptions(device="cpu", workers=0))


@pytest.mark.slow
def test_each_run_is_kept_with_its_figures(finished: tuple[Path, StudyResult]) -> None:
    folder, result = finished
    lines = (folder / "out" / "results.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [(row["variant"], row["seed"]) for row in rows] == [
        ("slow | steady", 0), ("slow | steady", 1), ("fast", 0), ("fast", 1),
    ]  # fmt: skip
    assert set(rows[0]) == set(Run.__dataclass_fields__)
    assert result.trained == 4
    for row in rows:
        assert row["recipe"]["seed"] == row["seed"]
        assert row["top1"] == row["right"] / row["count"]
        right = sum(part[1] for part in row["by_source"].values())
        assert right == row["right"]
        pair = [row["by_source"][name] for name in ("photo/drawn-photo", "cartoon/drawn-cartoon")]
        wanted = sum(part[1] for part in pair) / sum(part[0] for part in pair)
        assert row["judge"]["photo + cartoon/drawn-cartoon"] == pytest.approx(wanted)
        assert row["judge"]["sketch"] == row["by_kind"]["sketch"]


@pytest.mark.slow
def test_the_table_tells_what_the_runs_come_to(finished: tuple[Path, StudyResult]) -> None:
    folder, result = finished
    out = folder / "out"
    table = pl.read_csv(out / "table.csv")
    assert table["variant"].to_list() == ["slow | steady", "fast"]
    for row, line in zip(result.variants, table.iter_rows(named=True), strict=True):
        shares = [run.top1 for run in result.runs if run.variant == row.variant]
        assert line["top1"] == pytest.approx(sum(shares) / 2, abs=1e-6)
        assert line["deviation"] == pytest.approx(stats.tstd(shares), abs=1e-6)
        runs = [run for run in result.runs if run.variant == row.variant]
        pooled = wilson(sum(run.right for run in runs), sum(run.count for run in runs))
        assert (line["wilson_low"], line["wilson_high"]) == pytest.approx(pooled, abs=1e-6)
        kinds = [run.by_kind["photo"] for run in runs]
        assert line["top1_photo"] == pytest.approx(sum(kinds) / 2, abs=1e-6)
    assert table["paper"].to_list() == [None, 0.7675]


def test_the_page_tells_what_the_runs_come_to(finished: tuple[Path, StudyResult]) -> None:
    folder, result = finished
    page = study_page(load_study(folder / "spec.yaml"), result)
    readme = page.read_text()
    markdown = (page.parent / "table.md").read_text()
    assert markdown in readme + "\n"
    assert "slow \\| steady" in markdown
    for part in ("# Two rates", "Does the rate matter?", "![Two rates](plot.png)", "76.75",
                 "nothing of this.", f"facecheck study {folder / 'spec.yaml'}"):  # fmt: skip
        assert part in readme
    assert (page.parent / "plot.png").stat().st_size


def test_the_resolved_spec_is_the_same_study(finished: tuple[Path, StudyResult]) -> None:
    folder, _ = finished
    first, second = (
        load_study(folder / name) for name in (Path("spec.yaml"), Path("out/study.yaml"))
    )
    assert replace(first, origin="") == replace(second, origin="")


def test_finished_runs_lose_their_checkpoints_unless_asked(
    finished: tuple[Path, StudyResult], trained: tuple[Path, Path], write: Write, tmp_path: Path
) -> None:
    runs = finished[0] / "out" / "runs"
    assert sorted(path.name for path in runs.iterdir()) == [
        "fast-seed0", "fast-seed1", "slow-steady-seed0", "slow-steady-seed1",
    ]  # fmt: skip
    assert not list(runs.rglob("*.safetensors"))
    assert len(list(runs.rglob("recipe.yaml"))) == 4
    spec = load_study(write(variants={"only": {}}, seeds=[0], paper=None))
    study(
        spec,
        trained[0],
        tmp_path / "o",
        StudyOptions(keep_checkpoints=True, device="cpu", workers=0),
    )
    assert len(list((tmp_path / "o").rglob("*.safetensors"))) == 2


@pytest.mark.slow
def test_an_interrupted_study_goes_on_to_the_same_table(
    finished: tuple[Path, StudyResult], trained: tuple[Path, Path], write: Write, tmp_path: Path
) -> None:
    spec, out = load_study(write(variants={"fast": {"lr": 0.01}})), tmp_path / "out"

    def interrupt(run: Run) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        study(spec, trained[0], out, StudyOptions(device="cpu", workers=0), on_run=interrupt)
    assert not (out / "table.csv").exists()
    (out / "runs" / "fast-seed1").mkdir()  # as a kill in the second run leaves it
    (out / "runs" / "fast-seed1" / "last.safetensors").write_text("half")
    told: list[Run] = []
    result = study(spec, trained[0], out, StudyOptions(device="cpu", workers=0), on_run=told.append)
    assert [(run.variant, run.seed) for run in told] == [("fast", 1)]
    assert result.trained == 1
    resumed, straight = (
        pl.read_csv(folder / "table.csv").drop("seconds") for folder in (out, finished[1].out)
    )
    assert resumed.equals(straight.filter(pl.col("variant") == "fast"))
    assert sorted(path.name for path in (out / "runs").iterdir()) == ["fast-seed0", "fast-seed1"]


def test_a_finished_study_trains_nothing_and_takes_further_columns(
    finished: tuple[Path, StudyResult], trained: tuple[Path, Path], write: Write, tmp_path: Path
) -> None:
    import shutil

    out = tmp_path / "out"
    shutil.copytree(finished[1].out, out)
    result = study(
        load_study(write(judge=["photo"])), trained[0], out, StudyOptions(device="cpu", workers=0)
    )
    assert result.trained == 0
    assert [row.judge for row in result.variants] == [
        {"photo": row.by_kind["photo"]} for row in finished[1].variants
    ]


def test_runs_of_another_recipe_or_manifest_are_refused(
    finished: tuple[Path, StudyResult], trained: tuple[Path, Path], write: Write, tmp_path: Path
) -> None:
    out = finished[1].out
    before = (out / "results.jsonl").read_bytes()
    other = load_study(write(base={**BASE, "epochs": 2}))
    with pytest.raises(UsageError, match=r"run slow \| steady with seed 0 .* another epochs"):
        study(other, trained[0], out, StudyOptions(device="cpu"))
    moved = tmp_path / "m.csv"
    write_manifest(Manifest(read_manifest(trained[0]).frame[1:]), moved, {})
    with pytest.raises(UsageError, match="another manifest"):
        study(load_study(write()), moved, out, StudyOptions(device="cpu"))
    assert (out / "results.jsonl").read_bytes() == before


def test_another_folder_is_never_taken_over(
    trained: tuple[Path, Path], write: Write, tmp_path: Path
) -> None:
    spec = load_study(write())
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "study.yaml").write_text("mine")
    with pytest.raises(UsageError, match="is no study's folder"):
        study(spec, trained[0], mine, StudyOptions(device="cpu"))
    assert [path.name for path in mine.iterdir()] == ["study.yaml"]
    (mine / "results.jsonl").write_text('{"mine": 1}\n')
    with pytest.raises(UsageError, match="not the results of a study"):
        study(spec, trained[0], mine, StudyOptions(device="cpu"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variants": {"a": {"sources": ["photo", "cartoo"]}}, "paper": None}, "'cartoo'"),
        ({"judge": ["photo + sketches"]}, "did you mean"),
        ({"variants": {"a": {}, "b": {"arch": "resnet10"}}, "paper": None}, "did you mean"),
    ],
)
def test_what_would_stop_a_later_run_is_told_before_the_first(
    trained: tuple[Path, Path], write: Write, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        study(
            load_study(write(**changes)), trained[0], tmp_path / "out", StudyOptions(device="cpu")
        )
    assert not (tmp_path / "out").exists()


def test_a_run_that_fails_is_named(
    trained: tuple[Path, Path], write: Write, tmp_path: Path
) -> None:
    spec = load_study(write(base={**BASE, "weights": str(tmp_path / "gone.safetensors")}))
    with pytest.raises(FacecheckError, match=r"^run slow-steady-seed0: .*gone\.safetensors"):
        study(spec, trained[0], tmp_path / "out", StudyOptions(device="cpu", workers=0))


def test_a_grid_is_every_combination(write: Write) -> None:
    grid = {"fraction": [0.5, 1.0], "flip": [True, False], "sources": [["photo", "sketch"]]}
    paper = {"fraction=1,flip=false,sources=photo+sketch": 50}
    spec = load_study(write(grid=grid, variants=None, paper=paper))
    assert [variant.name for variant in spec.variants] == [
        f"fraction={fraction},flip={flip},sources=photo+sketch"
        for fraction in ("0.5", "1")
        for flip in ("true", "false")
    ]
    recipe = spec.variants[1].recipe
    assert (recipe.fraction, recipe.flip, recipe.sources) == (0.5, False, ("photo", "sketch"))
    assert recipe.arch == SMALL.arch
    assert spec.axis is None


def test_variants_meet_every_point_of_a_grid_of_one_number(write: Write) -> None:
    spec = load_study(write(grid={"fraction": [0.25, 1.0]}, paper=None))
    assert spec.axis == "fraction"
    assert [(variant.series, variant.at) for variant in spec.variants] == [
        ("slow | steady", 0.25), ("slow | steady", 1.0), ("fast", 0.25), ("fast", 1.0),
    ]  # fmt: skip
    assert spec.variants[2].name == "fast fraction=0.25"
    assert (spec.variants[2].recipe.lr, spec.variants[2].recipe.fraction) == (0.01, 0.25)
    for values in ([0.0, 0.5], [True, False], ["adam", "sgd"]):
        field = {float: "rotation", bool: "flip", str: "optimiser"}[type(values[0])]
        assert load_study(write(grid={field: values}, paper=None)).axis is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sedes": [1]}, "unknown key 'sedes'; did you mean 'seeds'"),
        ({"title": None}, "title '': must be a text"),
        ({"variants": None, "paper": None}, "nothing to compare"),
        ({"variants": {"fast": {"lrr": 1}}}, "variant 'fast': unknown field 'lrr'; did you mean"),
        ({"variants": {"fast": {"lr": 99}}}, "variant 'fast': lr 99"),
        ({"variants": {"fast": {"seed": 1}}}, "under `seeds`"),
        ({"variants": {"fast": [1]}}, "must be a mapping"),
        ({"variants": {"fast": {}, "f/a": {}, "f a": {}}}, "'f/a' and 'f a': name them further"),
        ({"base": {"seed": 1}}, "under `seeds`"),
        ({"base": {"recipe": "nothing-like-it"}}, "no recipe 'nothing-like-it'"),
        ({"base": {"epoch": 1}}, "did you mean 'epochs'"),
        ({"grid": {"lr": 0.1}}, "lr must have a list of values"),
        ({"grid": {"lr": [1, 1.0]}, "variants": None, "paper": None}, "name them further apart"),
        ({"seeds": [1, 1]}, "different whole numbers"),
        ({"seeds": []}, "different whole numbers"),
        ({"judge": "photo"}, "judge 'photo': must be a list"),
        ({"paper": {"fats": 1}}, "paper: no variant 'fats'; did you mean 'fast'"),
        ({"paper": {"fast": 101}}, "0 to 100"),
    ],
)
def test_a_spec_that_cannot_be_is_one_line_that_names_the_file(
    write: Write, changes: dict[str, Any], message: str
) -> None:
    path = write(**changes)
    with pytest.raises(ConfigError) as caught:
        load_study(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_study_may_start_from_a_recipe(write: Write, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("epochs: 7\nlr: 0.003\n")
    spec = load_study(write(base={"recipe": str(recipe), "epochs": 5}))
    assert (spec.base.epochs, spec.base.lr) == (5, 0.003)


def test_the_packages_studies_load() -> None:
    assert study_names() == [
        "augmentation", "doubling", "freeze", "loss", "networks", "optimiser", "pretrained",
        "sources",
    ]  # fmt: skip
    for name in study_names():
        spec = load_study(name)
        assert len(spec.variants) > 1, name
        assert spec.question.endswith("?"), name
    assert load_study("doubling").paper == pytest.approx(
        {"fraction=0.25": 0.5618, "fraction=0.5": 0.6987, "fraction=1": 0.7675}
    )
    with pytest.raises(ConfigError, match="no study 'doublng'; did you mean 'doubling'"):
        load_study("doublng")


@pytest.mark.parametrize("shares", [[0.7, 0.75], [0.61, 0.7, 0.66, 0.68], [0.9, 0.1], [0.5] * 3])
def test_the_interval_over_seeds_is_students(shares: list[float]) -> None:
    low, high = student_interval(shares) or (0, 0)
    mean, error = sum(shares) / len(shares), stats.sem(shares)
    if error == 0:
        assert (low, high) == (mean, mean)
    else:
        wanted = stats.t.interval(0.95, len(shares) - 1, loc=mean, scale=error)
        assert (low, high) == pytest.approx((max(0, wanted[0]), min(1, wanted[1])))


def test_one_run_has_no_interval_over_seeds() -> None:
    assert student_interval([0.7]) is None
