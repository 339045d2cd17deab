from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.test_commands import one_line
from tests.conftest import Outcome

Run = Callable[..., Outcome]

QUICK = (
    *("--arch", "resnet10t", "--no-pretrained", "--image-size", "32", "--batch-size", "8"),
    *("--device", "cpu", "--workers", "0", "--steps", "20", "--lowest", "1e-5"),
)


@pytest.mark.slow
def test_a_rate_is_suggested_and_the_curve_kept(
    command: Run, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    given = ("lr-find", "--manifest", trained[0], *QUICK)
    told = command(*given)
    assert (told.code, told.err) == (0, "")
    assert "steepest fall" in told.out
    assert "--lr " in told.out
    assert (tmp_path / "lr-find.png").read_bytes().startswith(b"\x89PNG")
    assert len((tmp_path / "lr-find.csv").read_text().splitlines()) > 10

    again = command(*given)
    assert again.code == 2
    assert "lr-find.png exists: pass --overwrite" in one_line(again)

    (tmp_path / "lr-find.png").unlink()
    assert "lr-find.csv exists" in one_line(command(*given))
    plain = command(*given, "--overwrite", "--json")
    assert plain.code == 0
    result = json.loads(plain.out)
    assert result["table"] == "lr-find.csv"
    assert f"--lr {result['steep']:.1e}" in told.out  # a seed gives one curve
    assert len(result["rates"]) == len(result["losses"])
