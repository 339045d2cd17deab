from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facecheck.core.errors import CheckpointError, UsageError
from facecheck.core.files import sha256_file
from facecheck.core.workspace import FACE_DETECTOR_VARIABLE as VARIABLE
from facecheck.scanner.faces.detector import PACKAGED, detect, find_detector


def test_the_packaged_file_is_the_published_one_with_its_licence() -> None:
    # As other public projects pin it, of ShiqiYu/libfacedetection.train at dca340a.
    published = "104ee26c71d5c270ce79a6b3dced91c91013260d29a6bf18f9296c5b8c4c2b12"
    assert sha256_file(PACKAGED) == published
    assert "Apache License" in PACKAGED.with_name("yunet.LICENSE.txt").read_text()
    assert find_detector() == PACKAGED


def test_a_file_of_the_user_takes_precedence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag, variable = tmp_path / "flag.onnx", tmp_path / "variable.onnx"
    for path in (flag, variable):
        path.write_bytes(PACKAGED.read_bytes())
    monkeypatch.setenv(VARIABLE, str(variable))
    assert find_detector() == variable
    assert find_detector(flag) == flag
    variable.unlink()
    with pytest.raises(UsageError, match=f"variable.onnx: correct {VARIABLE}"):
        find_detector()
    with pytest.raises(UsageError, match="correct --face-detector"):
        find_detector(tmp_path / "nothing.onnx")


def test_an_empty_input_shows_nothing() -> None:
    assert detect(np.zeros((160, 160, 3), np.uint8), PACKAGED) == []


@pytest.mark.parametrize("content", [b"", b"not a network"])
def test_a_file_that_is_no_detector_is_refused_in_one_line(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "wrong.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"wrong.onnx: .*--face-detector") as told:
        find_detector(path)
    assert "\n" not in str(told.value)


def test_another_network_is_refused(tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Relu", ["input"], ["output"])],
        "other",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 160, 160])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3, 160, 160])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    (tmp_path / "other.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match=r"other.onnx: not a YuNet"):
        find_detector(tmp_path / "other.onnx")
