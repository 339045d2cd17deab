from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from facecheck.core.errors import CheckpointError, UsageError
from facecheck.core.workspace import BUILTINS, find_checkpoint
from facecheck.engines import onnx as subject
from facecheck.engines.export import ExportResult, export_checkpoint
from facecheck.engines.load import load_predictor
from facecheck.engines.onnx import OnnxPredictor
from facecheck.engines.options import ExportOptions
from facecheck.evaluation.calibrate import calibrate
from facecheck.evaluation.evaluate import evaluate
from facecheck.evaluation.options import CalibrateOptions, EvaluateOptions
from facecheck.model.checkpoint import read_header
from tests.conftest import Outcome

Exports = dict[str, ExportResult]


@pytest.fixture(scope="module")
def exports(trained: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Exports:
    """One export of each precision; torch, the slow part, makes the graph once."""
    manifest, checkpoint = trained
    folder = tmp_path_factory.mktemp("exports")
    graph: list[bytes] = []
    make = subject._graph

    def once(*arguments: object) -> onnx.ModelProto:
        if not graph:
            graph.append(make(*arguments).SerializeToString())  # type: ignore[arg-type]
        return onnx.load_from_string(graph[0])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subject, "_graph", once)
        return {
            precision: export_checkpoint(
                checkpoint,
                folder / f"{precision}.onnx",
                ExportOptions(precision=precision),
                manifest=manifest,
            )
            for precision in ("fp32", "fp16", "int8")
        }


@pytest.mark.slow
def test_an_export_answers_as_its_checkpoint(
    exports: Exports, trained: tuple[Path, Path], drawn: Path
) -> None:
    random = np.random.default_rng(0)
    batch = random.integers(0, 256, (5, 1, 32, 32, 3), dtype=np.uint8)
    wanted, seen = load_predictor(trained[1], "cpu", features=True).outputs(batch)
    assert seen is not None
    for precision, within in (("fp32", 1e-4), ("fp16", 0.1), ("int8", 2.0)):
        predictor = load_predictor(exports[precision].path, features=True)
        assert isinstance(predictor, OnnxPredictor)
        found, features = predictor.outputs(batch)
        assert features is not None
        assert found.shape == wanted.shape
        assert features.shape == seen.shape
        assert np.abs(found - wanted).max() < within
        assert np.abs(features - seen).max() < within
        assert np.allclose(predictor.outputs(batch[:1])[0], found[:1], atol=1e-2)
        assert load_predictor(exports[precision].path).outputs(batch[:1])[1] is None
        five = np.tile(batch[:1], (1, 5, 1, 1, 1))
        five[0, 1:] = batch[1:, 0]
        assert np.allclose(predictor.outputs(five)[0], found.mean(axis=0), atol=1e-2)


@pytest.mark.slow
def test_the_header_travels_and_the_figures_are_told(
    exports: Exports, trained: tuple[Path, Path]
) -> None:
    header = read_header(trained[1])
    for precision, result in exports.items():
        assert OnnxPredictor(result.path).header == header
        assert result.precision == precision
        assert result.bytes == result.path.stat().st_size
        assert 0 <= result.mean_difference <= result.largest_difference <= 1
    assert exports["fp32"].largest_difference < 1e-4
    assert exports["fp32"].top1 == exports["fp32"].exported_top1
    assert exports["fp16"].bytes < 0.6 * exports["fp32"].bytes
    assert exports["int8"].bytes < 0.4 * exports["fp32"].bytes
    assert exports["int8"].calibrated_on > 0
    assert exports["int8"].images + exports["int8"].calibrated_on == exports["fp32"].images


def test_evaluate_agrees_on_either_engine(exports: Exports, trained: tuple[Path, Path]) -> None:
    manifest, checkpoint = trained
    torch_result = evaluate(checkpoint, manifest, EvaluateOptions(device="cpu"))
    onnx_result = evaluate(exports["fp32"].path, manifest, EvaluateOptions(device="cpu"))
    assert onnx_result.overall.loss == pytest.approx(torch_result.overall.loss, abs=1e-4)
    assert onnx_result.confusion == torch_result.confusion


@pytest.mark.slow
def test_a_scan_of_an_export_never_loads_torch(
    exports: Exports, drawn: Path, tmp_path: Path
) -> None:
    code = (
        "import sys\n"
        f"sys.argv = ['facecheck', 'scan', {str(drawn / 'photo')!r}, '--checkpoint',"
        f" {str(exports['fp32'].path)!r}, '--out', {str(tmp_path / 'r.csv')!r}, '--quiet']\n"
        "from facecheck.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('torch', 'torchvision', 'timm') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr
    assert (tmp_path / "r.csv").read_text().count("\n") == 13


@pytest.mark.slow
def test_the_command_tells_both_side_by_side(
    command: Callable[..., Outcome], trained: tuple[Path, Path], tmp_path: Path
) -> None:
    export = ("export", trained[1], "--manifest", trained[0], "--out", "e.onnx")
    done = command(*export, "--precision", "fp16")
    assert done.code == 0, done.err
    assert "e.onnx: onnx, fp16" in done.out
    assert "0 verdicts changed" in done.out
    again = command(*export)
    assert again.code == 2
    assert "--overwrite" in again.err
    told = json.loads(command("evaluate", "e.onnx", "--manifest", trained[0], "--json").out)
    assert told["errors"] == []


@pytest.mark.slow
def test_a_workspace_without_a_run_takes_the_packages_own_model(
    exports: Exports, command: Callable[..., Outcome], drawn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BUILTINS, "builtin", exports["fp32"].path)
    assert find_checkpoint(None) == exports["fp32"].path
    done = command("scan", drawn / "photo", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["checkpoint"] == str(exports["fp32"].path)


@pytest.mark.slow
def test_an_export_keeps_the_guard(trained: tuple[Path, Path], tmp_path: Path) -> None:
    manifest, checkpoint = trained
    guarded, exported = tmp_path / "guarded.safetensors", tmp_path / "guarded.onnx"
    calibrate(checkpoint, manifest, CalibrateOptions(guard=50, out=guarded, device="cpu"))
    assert read_header(guarded).guard is not None
    assert export_checkpoint(guarded, exported, manifest=manifest).verdicts_changed == 0
    on_torch = evaluate(guarded, manifest, EvaluateOptions(device="cpu", baseline=False))
    on_onnx = evaluate(exported, manifest, EvaluateOptions(device="cpu", baseline=False))
    assert on_onnx.verdicts == on_torch.verdicts
    assert on_onnx.verdicts.uncertain > 0
    # Every image is like none of the kinds to a guard that lets nothing through.
    predictor = load_predictor(exported)
    assert predictor.header.guard is not None
    nothing = replace(predictor.header.guard, limit=-1.0)
    predictor.header = replace(predictor.header, guard=nothing)
    batch = np.zeros((2, 1, 32, 32, 3), np.uint8)
    assert [answer.verdict for answer in predictor.predictions(batch)] == ["uncertain"] * 2


def test_an_export_is_calibrated_as_its_checkpoint_is(
    exports: Exports, trained: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, checkpoint = trained
    before = exports["fp32"].path.read_bytes()
    calibrate(
        checkpoint,
        manifest,
        CalibrateOptions(budget=0.1, out=tmp_path / "c.safetensors", device="cpu"),
    )
    calibrate(exports["fp32"].path, manifest, CalibrateOptions(budget=0.1, out=tmp_path / "c.onnx"))
    assert exports["fp32"].path.read_bytes() == before
    on_torch, on_onnx = read_header(tmp_path / "c.safetensors"), load_predictor(tmp_path / "c.onnx")
    assert on_onnx.header.thresholds == pytest.approx(on_torch.thresholds, abs=1e-3)
    assert on_onnx.header.temperature == pytest.approx(on_torch.temperature, abs=1e-2)
    assert on_onnx.header.calibration["budget"] == 0.1
    with pytest.raises(UsageError, match=r"must end in \.onnx"):
        calibrate(exports["fp32"].path, manifest, CalibrateOptions(out=tmp_path / "d.safetensors"))
    monkeypatch.setitem(BUILTINS, "builtin", exports["fp32"].path)
    with pytest.raises(UsageError, match="stays as it is"):
        calibrate(exports["fp32"].path, manifest)


def test_an_export_that_differs_too_much_is_not_written(
    exports: Exports, trained: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = onnx.load(exports["fp32"].path)
    del wrong.metadata_props[:]
    for weights in wrong.graph.initializer:
        if len(weights.dims) > 1 and weights.raw_data:
            values = onnx.numpy_helper.to_array(weights)
            weights.CopyFrom(onnx.numpy_helper.from_array(-values, weights.name))
    monkeypatch.setattr(subject, "_graph", lambda *_: wrong)
    with pytest.raises(CheckpointError, match="not written: a score of the export differs by"):
        export_checkpoint(trained[1], tmp_path / "e.onnx", manifest=trained[0])
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_exported_or_run_is_told(
    trained: tuple[Path, Path], tmp_path: Path, exports: Exports
) -> None:
    manifest, checkpoint = trained
    with pytest.raises(UsageError, match=r"must end in one of \.onnx"):
        export_checkpoint(checkpoint, tmp_path / "e.pt", manifest=manifest)
    (tmp_path / "e.onnx").write_bytes(b"no network")
    with pytest.raises(UsageError, match="--overwrite"):
        export_checkpoint(checkpoint, tmp_path / "e.onnx", manifest=manifest)
    with pytest.raises(CheckpointError, match="not a whole ONNX file"):
        load_predictor(tmp_path / "e.onnx")
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        load_predictor(tmp_path / "nothing.onnx")
    with pytest.raises(UsageError, match="runs on the cpu"):
        load_predictor(exports["fp32"].path, "cuda")
    plain = onnx.load(exports["fp32"].path)
    del plain.metadata_props[:]
    onnx.save(plain, tmp_path / "plain.onnx")
    with pytest.raises(CheckpointError, match="no facecheck header"):
        load_predictor(tmp_path / "plain.onnx")
