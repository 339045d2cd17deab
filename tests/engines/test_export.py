from __future__ import annotations

import csv
import importlib
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from facecheck.core.errors import CheckpointError, UsageError
from facecheck.engines import onnx
from facecheck.engines.base import SUFFIXES
from facecheck.engines.export import ExportResult, export_checkpoint
from facecheck.engines.load import load_predictor
from facecheck.engines.options import ExportOptions, Format, Precision
from facecheck.evaluation.calibrate import calibrate
from facecheck.evaluation.options import CalibrateOptions
from facecheck.model.checkpoint import Header, read_header
from tests.conftest import Outcome

NEEDS = {"torchscript": ("torch",), "openvino": ("openvino", "onnxscript"),
         "litert": ("litert_torch",)}  # fmt: skip
# ONNX has its own tests.
OPENVINO = pytest.param("openvino", marks=pytest.mark.openvino)
MAKE_GRAPH = onnx._graph


@pytest.fixture(scope="module", autouse=True)
def one_graph() -> Iterator[None]:
    """Let torch, the slow part, make the graph of the checkpoint for ONNX once."""
    made: list[bytes] = []

    def once(model: torch.nn.Module, header: Header) -> object:
        if not made:
            made.append(MAKE_GRAPH(model, header).SerializeToString())
        return pytest.importorskip("onnx").load_from_string(made[0])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx, "_graph", once)
        yield


def need(kind: str) -> None:
    for package in NEEDS[kind]:
        pytest.importorskip(package, reason=f"{kind} needs {package}, which is not installed")


@pytest.fixture(scope="module", params=[OPENVINO, "torchscript", "litert"])
def exported(
    request: pytest.FixtureRequest,
    trained: tuple[Path, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> ExportResult:
    """The checkpoint in each format, fp32."""
    need(request.param)
    path = tmp_path_factory.mktemp(request.param) / f"e{SUFFIXES[request.param]}"
    return export_checkpoint(trained[1], path, manifest=trained[0])


@pytest.mark.slow
def test_an_export_answers_as_its_checkpoint(
    exported: ExportResult, trained: tuple[Path, Path]
) -> None:
    side = read_header(trained[1]).transform.image_size
    random = np.random.default_rng(0)
    batch = random.integers(0, 256, (5, 1, side, side, 3), dtype=np.uint8)
    wanted, seen = load_predictor(trained[1], "cpu", features=True).outputs(batch)
    found, features = load_predictor(exported.path, features=True).outputs(batch)
    assert seen is not None
    assert features is not None
    assert features.shape == seen.shape
    assert np.abs(found - wanted).max() < 1e-4
    assert np.abs(features - seen).max() < 1e-4
    assert load_predictor(exported.path).outputs(batch[:1])[1] is None
    assert exported.largest_difference < 1e-4
    assert exported.verdicts_changed == 0
    assert exported.exported_top1 == exported.top1
    files = [exported.path, *exported.path.parent.glob("*.bin")]
    assert exported.bytes == sum(file.stat().st_size for file in files)


def test_the_whole_header_travels(
    exported: ExportResult, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    assert load_predictor(exported.path).header == read_header(trained[1])
    out = tmp_path / f"calibrated{exported.path.suffix}"
    before = exported.path.read_bytes()
    for budget in (0.2, 0.1):  # of an export, and of what that gave
        source = exported.path if budget == 0.2 else out
        calibrate(source, trained[0], CalibrateOptions(budget=budget, out=out, overwrite=True))
        found = load_predictor(out).header
        assert found.calibration["budget"] == budget
        assert found.guard is not None
        assert replace(found, calibration={}, guard=None, temperature=1, thresholds=(0.5, 0.5)) == (
            read_header(trained[1])
        )
    assert exported.path.read_bytes() == before


@pytest.mark.slow
def test_a_scan_of_it_is_the_checkpoints_scan(
    exported: ExportResult, trained: tuple[Path, Path], drawn: Path,
    command: Callable[..., Outcome],
) -> None:  # fmt: skip
    rows = []
    for checkpoint in (trained[1], exported.path):
        done = command("scan", drawn, "--faces", "off", "--checkpoint", checkpoint, "--out", "-")
        assert done.code == 0, done.err
        assert "INFO" not in done.err
        rows.append(list(csv.DictReader(io.StringIO(done.out))))
    assert len(rows[0]) == 36
    for one, other in zip(*rows, strict=True):
        assert one["path"] == other["path"]
        assert one["verdict"] == other["verdict"]
        assert float(one["score"]) == pytest.approx(float(other["score"]), abs=1e-3)


def test_what_does_not_answer_alike_is_not_written(
    exported: ExportResult, trained: tuple[Path, Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from facecheck.engines import base as shared

    def darker(model: torch.nn.Module, header: object) -> torch.nn.Module:
        inner = shared.from_pixels(model, header)  # type: ignore[arg-type]

        class Darker(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.inner = inner

            def forward(self, pixels: torch.Tensor) -> object:
                return self.inner((pixels.float() * 0.2).to(torch.uint8))

        return Darker().eval()

    made_by = "onnx" if exported.format == "openvino" else exported.format
    module = importlib.import_module(f"facecheck.engines.{made_by}")
    monkeypatch.setattr(module, "from_pixels", darker)
    monkeypatch.setattr(onnx, "_graph", MAKE_GRAPH)
    path = tmp_path / f"e{exported.path.suffix}"
    with pytest.raises(CheckpointError, match="not written: a score of the export differs by"):
        export_checkpoint(trained[1], path, manifest=trained[0])
    assert list(tmp_path.iterdir()) == []


def damage(exported: ExportResult, folder: Path) -> Iterator[Path]:
    """Yield files cut short, made up, or changed in the middle."""
    whole = exported.path.read_bytes()
    for number, content in enumerate(
        (b"", b"no network", whole[:100], whole[: len(whole) // 2], whole[:-40])
    ):
        path = folder / f"{number}{exported.path.suffix}"
        path.write_bytes(content)
        for weights in exported.path.parent.glob("*.bin"):
            path.with_suffix(".bin").write_bytes(weights.read_bytes())
        yield path


@pytest.mark.slow
def test_damaged_files_give_one_line(exported: ExportResult, tmp_path: Path) -> None:
    # In a process of its own: a crash of an engine is a failure here, too.
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from facecheck.core.errors import CheckpointError\n"
        "from facecheck.engines.load import load_predictor\n"
        "for name in sys.argv[1:]:\n"
        "    try:\n        load_predictor(Path(name))\n        print('loaded', name)\n"
        "    except CheckpointError as error:\n        print('refused', str(error))\n"
    )
    paths = list(damage(exported, tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, paths)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(paths), done.stdout
    for path, line in zip(paths, lines, strict=True):
        assert line.startswith(f"refused {path}: "), line
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        load_predictor(tmp_path / f"nothing{exported.path.suffix}")
    with pytest.raises(UsageError, match="runs on the cpu"):
        load_predictor(exported.path, "cuda")


@pytest.mark.parametrize("kind", [OPENVINO, "litert"])
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_smaller_precisions(
    kind: Format, precision: Precision, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    need(kind)
    path = tmp_path / f"e{SUFFIXES[kind]}"
    result = export_checkpoint(
        trained[1], path, ExportOptions(precision=precision), manifest=trained[0]
    )
    weights = path.with_suffix(".bin") if kind == "openvino" else path
    whole = sum(tensor.nbytes for tensor in _weights(trained[1]))
    assert weights.stat().st_size < {"fp16": 0.65, "int8": 0.5}[precision] * whole
    assert (result.calibrated_on > 0) == (precision == "int8")
    assert result.verdicts_changed <= result.images // 3


def _weights(path: Path) -> list[np.ndarray]:
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        return [file.get_tensor(name) for name in file.keys()]  # noqa: SIM118


@pytest.mark.openvino
def test_openvino_weights_of_another_export_are_told(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    need("openvino")
    path = tmp_path / "e.xml"
    export_checkpoint(trained[1], path, manifest=trained[0])
    weights = path.with_suffix(".bin")
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    with pytest.raises(CheckpointError, match=r"its weights, e\.bin, are of another export"):
        load_predictor(path)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"no checkpoint at .*e\.bin"):
        load_predictor(path)
    path.unlink()
    weights.write_bytes(b"a user's own")
    with pytest.raises(UsageError, match=r"e\.bin exists"):
        export_checkpoint(trained[1], path, manifest=trained[0])


class WritesByLoading(torch.nn.Module):
    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return ("ran.pt", self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        torch.save(torch.zeros(1), state[0])
        self.training = state[1]

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels


class WritesByRunning(torch.nn.Module):
    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if bool(pixels.sum() > 0):
            torch.save(pixels, "ran.pt")
        return pixels.float(), pixels.float()


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    ("program", "reason"),
    [(WritesByLoading, "would run by being loaded"), (WritesByRunning, "which no network needs")],
)
def test_a_torchscript_program_is_not_run(
    program: type[torch.nn.Module], reason: str, trained: tuple[Path, Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    header = json.dumps({"kinds": ["photo"]})
    torch.jit.save(torch.jit.script(program()), "m.ts", _extra_files={"facecheck": header})
    with pytest.raises(CheckpointError, match=reason):
        load_predictor(Path("m.ts"))
    assert [path.name for path in tmp_path.iterdir()] == ["m.ts"]
    if program is WritesByLoading:  # what the check is there for
        torch.jit.load("m.ts")  # type: ignore[no-untyped-call]
        assert Path("ran.pt").exists()


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_torchscript_without_a_header(trained: tuple[Path, Path], tmp_path: Path) -> None:
    network = torch.jit.trace(torch.nn.ReLU(), torch.zeros(1))  # type: ignore[no-untyped-call]
    torch.jit.save(network, tmp_path / "m.ts")
    with pytest.raises(CheckpointError, match="no facecheck header"):
        load_predictor(tmp_path / "m.ts")


@pytest.mark.slow
def test_the_command_takes_the_format_from_either_option(
    command: Callable[..., Outcome], trained: tuple[Path, Path], tmp_path: Path
) -> None:
    export = ("export", trained[1], "--manifest", trained[0])
    done = command(*export, "--out", "e.ts", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert (told["format"], told["allowed"]) == ("torchscript", 1e-3)
    again = command(*export, "--format", "torchscript", "--out", "e.ts", "--overwrite")
    assert "(allowed: 0.001)" in again.out
    other = command(*export, "--format", "litert", "--out", "e.ts", "--overwrite")
    assert other.code == 2
    assert "ends in .tflite" in other.err
    half = command(*export, "--out", "f.ts", "--precision", "fp16")
    assert half.code == 2
    assert "fp32 alone" in half.err


@pytest.mark.parametrize(
    ("kind", "package", "hint"),
    [("openvino", "openvino", "facecheck[openvino]"),
     ("litert", "litert_torch", "facecheck[litert]"), ("onnx", "onnxscript", "facecheck[export]")],
)  # fmt: skip
def test_a_missing_package_is_named(
    kind: Format, package: str, hint: str, trained: tuple[Path, Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, package, None)
    path = tmp_path / f"e{SUFFIXES[kind]}"
    with pytest.raises(CheckpointError) as told:
        export_checkpoint(trained[1], path, manifest=trained[0])
    assert hint in str(told.value)
    assert not path.exists()


def test_a_missing_runtime_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(CheckpointError, match="pip install ai-edge-litert"):
        load_predictor(tmp_path / "e.tflite")
