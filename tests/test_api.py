"""Every public function, called as a user would guess: with text for paths, and with mistakes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import facecheck
from facecheck.core.errors import FacecheckError, UnknownNameError, UsageError

FUNCTIONS = sorted(
    name for name in facecheck.__all__ if inspect.isfunction(getattr(facecheck, name))
)
#: Named in a call, and not there.
GONE = "nowhere/gone"


@dataclass(frozen=True)
class Mistake:
    """A call of a public function with a wrong ``{}`` in it, and what else its message says."""

    name: str
    call: Callable[[Any], object]
    says: str = ""


checkpoint: Any = "builtin-fast"
CALLS = [
    Mistake("audit", facecheck.audit),
    Mistake("benchmark_model", lambda wrong: facecheck.benchmark_model(wrong, "m.csv")),
    Mistake("benchmark_model", lambda wrong: facecheck.benchmark_model(checkpoint, wrong)),
    Mistake("calibrate", lambda wrong: facecheck.calibrate(wrong, "m.csv"), "checkpoint"),
    Mistake("calibrate", lambda wrong: facecheck.calibrate(checkpoint, wrong), "manifest"),
    Mistake("check", facecheck.check),
    Mistake("convert", lambda wrong: facecheck.convert(wrong, "tree")),
    Mistake("curation_report", lambda wrong: facecheck.curation_report(wrong, "page")),
    Mistake("dedup", facecheck.dedup),
    Mistake("evaluate", lambda wrong: facecheck.evaluate(wrong, "m.csv"), "checkpoint"),
    Mistake("evaluate", lambda wrong: facecheck.evaluate(checkpoint, wrong), "manifest"),
    Mistake("explain", lambda wrong: facecheck.explain(wrong, checkpoint)),
    Mistake("explain", lambda wrong: facecheck.explain("m.csv", wrong), "checkpoint"),
    Mistake(
        "export_checkpoint",
        lambda wrong: facecheck.export_checkpoint(wrong, "x.onnx", manifest="m.csv"),
    ),
    Mistake("video_report", lambda wrong: facecheck.video_report(wrong, "page")),
    Mistake("fault_report", lambda wrong: facecheck.fault_report(wrong, "page")),
    Mistake("fetch", facecheck.fetch),
    Mistake("generate_quality", lambda wrong: facecheck.generate_quality(wrong, "m.csv")),
    Mistake("generate_sample", lambda wrong: facecheck.generate_sample(wrong, "faces")),
    Mistake("generate_train", facecheck.generate_train),
    Mistake("index", lambda wrong: facecheck.index(wrong, "new.csv")),
    Mistake("index", lambda wrong: facecheck.index(["m.csv", wrong], "new.csv")),
    Mistake("known_add", lambda wrong: facecheck.known_add(wrong, "known.csv")),
    Mistake("known_show", facecheck.known_show),
    Mistake("list_sources", facecheck.list_sources),
    Mistake("load_recipe", facecheck.load_recipe),
    Mistake("load_study", facecheck.load_study),
    Mistake("lr_find", facecheck.lr_find),
    Mistake("lr_find", lambda wrong: facecheck.lr_find("m.csv", wrong), "recipe"),
    Mistake("merge", lambda wrong: facecheck.merge("all.csv", [wrong])),
    Mistake("place", lambda wrong: facecheck.place(wrong, "to")),
    Mistake("read_manifest", facecheck.read_manifest),
    Mistake("read_provenance", facecheck.read_provenance),
    Mistake("read_results", facecheck.read_results),
    Mistake("run_report", lambda wrong: facecheck.run_report(wrong, "page")),
    Mistake("scan", lambda wrong: facecheck.scan(wrong, "r.csv", checkpoint)),
    Mistake("scan", lambda wrong: facecheck.scan("m.csv", "r.csv", wrong), "checkpoint"),
    Mistake("scan_report", lambda wrong: facecheck.scan_report(wrong, "page")),
    Mistake("serve", lambda wrong: facecheck.serve(wrong, checkpoint, opened=print)),
    Mistake("serve", lambda wrong: facecheck.serve(".", wrong, opened=print), "checkpoint"),
    Mistake("split", facecheck.split),
    Mistake("study", lambda wrong: facecheck.study(wrong, "m.csv", "study"), "study"),
    Mistake("study", lambda wrong: facecheck.study("optimiser", wrong, "study"), "manifest"),
    Mistake("train", facecheck.train),
    Mistake("train", lambda wrong: facecheck.train("m.csv", wrong), "recipe"),
    Mistake("Checker", facecheck.Checker, "checkpoint"),
]
#: What names no file that must be there.
OTHERS = {"reach_of", "to_frame", "write_manifest"}


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder to work in, with a table that is no manifest."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.csv").write_text("path,source,kind\n")


def test_every_public_function_is_called() -> None:
    assert {call.name for call in CALLS} - {"Checker"} | OTHERS == set(FUNCTIONS)


def by_name(calls: list[Mistake]) -> list[Any]:
    return [pytest.param(call, id=f"{call.name}-{number}") for number, call in enumerate(calls)]


@pytest.mark.parametrize("mistake", by_name(CALLS))
@pytest.mark.parametrize("wrong", [GONE, Path(GONE)], ids=["str", "Path"])
def test_what_is_not_there_is_one_error_with_its_path(mistake: Mistake, wrong: Any) -> None:
    with pytest.raises(FacecheckError) as told:
        mistake.call(wrong)
    shown = str(told.value)
    assert GONE in shown
    assert mistake.says in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("mistake", by_name(CALLS))
@pytest.mark.parametrize("wrong", [3, b"bytes", ""], ids=["int", "bytes", "empty"])
def test_what_is_no_path_is_one_error(mistake: Mistake, wrong: Any) -> None:
    if mistake.name == "read_provenance" and isinstance(wrong, bytes):
        wrong = 3.5  # bytes are right here: the content of a file
    with pytest.raises(FacecheckError) as told:
        mistake.call(wrong)
    assert "\n" not in str(told.value)


def test_an_unknown_name_is_an_attribute_error_and_one_of_ours() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'scan_report', 'scan'|'scan'"):
        _ = facecheck.scann
    assert not hasattr(facecheck, "nothing")
    with pytest.raises(ImportError):
        from facecheck import nothing  # noqa: F401


OPTIONS = [
    (facecheck.ScanOptions, {"known": 3}, "--known 3"),
    (facecheck.ScanOptions, {"threshold": "high"}, "--threshold 'high'"),
    (facecheck.ScanOptions, {"workers": 1.5}, "--workers 1.5"),
    (facecheck.CheckOptions, {"face_detector": b"x"}, "--face-detector"),
    (facecheck.CheckOptions, {"faces": True}, "--faces True"),
    (facecheck.SplitOptions, {"seed": "0"}, "--seed '0'"),
    (facecheck.ScanReportOptions, {"root": 5}, "--root 5"),
    (facecheck.ScanReportOptions, {"root": ["here", 5]}, "--root 5"),
]


@pytest.mark.parametrize(("kind", "values", "says"), OPTIONS)
def test_an_option_of_another_type_is_refused(kind: Any, values: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        kind(**values)


def test_options_take_text_for_paths() -> None:
    options = facecheck.ScanReportOptions(root=["here", Path("there")])  # type: ignore[arg-type]
    assert options.root == (Path("here"), Path("there"))
    assert facecheck.ScanReportOptions(root="here").root == (Path("here"),)  # type: ignore[arg-type]


def test_a_workspace_is_curated_with_text_for_every_path(drawn: Path) -> None:
    indexed = facecheck.index(str(drawn))
    assert (indexed.manifest, indexed.records) == (Path("data/manifest.csv"), 36)
    assert facecheck.dedup().manifest == Path("data/manifest.csv")
    assert facecheck.split("data/manifest.csv").manifest == Path("data/manifest.csv")
    with pytest.raises(FacecheckError, match=r"^data/manifest\.csv: nothing to distinguish"):
        facecheck.audit("data/manifest.csv")  # of 12 photographs
    page = facecheck.curation_report("data/manifest.csv", "page")
    assert page.out == Path("page")
    facecheck.convert("data/manifest.csv", "copy.csv")
    manifest = facecheck.read_manifest("copy.csv")
    facecheck.write_manifest(manifest, "again.parquet")
    assert facecheck.read_manifest("again.parquet").frame.height == manifest.frame.height


WHOLE = facecheck.ScanOptions(faces="off", device="cpu", workers=1)


def test_a_scan_and_what_follows_take_text_for_every_path(
    drawn: Path, trained: tuple[Path, Path]
) -> None:
    face = next((drawn / "sketch").rglob("*.png"))
    run = str(trained[1].parent)
    result = facecheck.scan(str(drawn), "r.csv", run, WHOLE)
    assert (result.out, result.rows) == (Path("r.csv"), 36)
    assert facecheck.scan(face, checkpoint=run, options=WHOLE).out == Path("results.csv")
    assert facecheck.read_results("results.csv").height == 1
    assert facecheck.place("r.csv", "to", roots=str(drawn)).placed
    assert facecheck.scan_report("r.csv", "page").out == Path("page")
    assert facecheck.reach_of("r.csv", "more") == facecheck.reach_of(Path("r.csv"), [Path("more")])
    assert facecheck.known_add(
        str(drawn / "photo"), "known.csv", facecheck.KnownAddOptions(verdict="real")
    ).table == Path("known.csv")
    assert facecheck.known_show("known.csv").rows == 12
    evaluated = facecheck.evaluate(run, str(trained[0]), facecheck.EvaluateOptions(device="cpu"))
    assert evaluated.manifest == trained[0]


@pytest.mark.parametrize("name", [None, "builtin", "builtin-fast", Path("builtin-fast")])
def test_the_built_in_models_are_named_or_taken_by_default(name: Any, drawn: Path) -> None:
    face = next((drawn / "sketch").rglob("*.png"))
    result = facecheck.scan(str(face), "r.csv", name, WHOLE)
    assert result.checkpoint.name == (
        "builtin-fast.onnx" if name and "fast" in str(name) else "builtin.safetensors"
    )
    assert result.frame()["status"].to_list() == ["ok"]
