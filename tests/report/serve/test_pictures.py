"""What a browser gets of files: pictures made again, of the folder that is served alone."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from facecheck.core.errors import ImageError
from facecheck.core.workspace import BUILTIN_FAST
from facecheck.report.serve.options import ServeOptions
from facecheck.report.serve.pictures import read_within
from facecheck.report.serve.workplace import Workplace
from tests.report.serve.conftest import Asking, results_of, row

Name = Callable[[Path], str]
OUTSIDE: dict[str, Name] = {
    "absolute": lambda served: str(served.parent / "secret" / "s.png"),
    "dots": lambda served: str(served / ".." / "secret" / "s.png"),
    "dots behind a folder": lambda served: str(served / "inner" / ".." / ".." / "secret/s.png"),
    "a link": lambda served: str(served / "link.png"),
    "in a linked folder": lambda served: str(served / "linked" / "s.png"),
    "escaped dots": lambda served: f"{served}/\\x2e\\x2e/secret/s.png",
    "a folder whose name begins alike": lambda served: f"{served}-other/s.png",
    "an archive outside": lambda served: f"{served.parent}/secret/a.zip::s.png",
    "an archive by a link": lambda served: f"{served}/linked/a.zip::s.png",
    "NUL": lambda served: f"{served}/a.png\0/../../secret/s.png",
    "a device": lambda served: "/dev/zero",
    "the passwords": lambda served: "/etc/passwd",
    "an address": lambda served: "http://127.0.0.1:1/s.png",
    "a folder": str,
    "nothing": lambda served: "",
}


@pytest.fixture
def served(folder: Path) -> Path:
    """A folder with ways out of it."""
    secret = folder.parent / "secret"
    (folder / "link.png").symlink_to(secret / "s.png")
    (folder / "linked").symlink_to(secret)
    with zipfile.ZipFile(secret / "a.zip", "w") as bundle:
        bundle.write(secret / "s.png", "s.png")
    with zipfile.ZipFile(folder / "a.zip", "w") as bundle:
        bundle.write(secret / "s.png", "in/s.png")
    other = folder.with_name(f"{folder.name}-other")
    other.mkdir()
    Image.new("RGB", (60, 40)).save(other / "s.png")
    return folder


@pytest.mark.parametrize("case", OUTSIDE)
def test_nothing_outside_of_the_folder_is_read(case: str, served: Path) -> None:
    with pytest.raises(ImageError):
        read_within(OUTSIDE[case](served), [os.path.realpath(served)])


def test_what_lies_in_it_is_read_by_every_name(served: Path) -> None:
    roots = [os.path.realpath(served)]
    whole = (served / "a.png").read_bytes()
    (served / "inside.png").symlink_to(served / "a.png")
    for name in (
        served / "a.png",
        "served/a.png",
        served / "inner/../a.png",
        served / "inside.png",
    ):
        assert read_within(str(name), roots) == whole
    assert read_within(f"{served}/a.zip::in/s.png", roots)


def test_no_byte_of_a_file_is_sent_and_what_is_no_picture_is_not(served: Path) -> None:
    """Rows of a stranger's results name what they like; the answers are pictures of ours."""
    hostile = {
        "page.png": b"<html><script>alert(1)</script>",
        "draw.svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="60" height="40"/>',
    }
    for bad, content in hostile.items():
        (served / bad).write_bytes(content)
    tail = (served / "a.png").read_bytes() + b"<script>alert(1)</script>"
    (served / "tail.png").write_bytes(tail)
    names = [served / "a.png", served / "tail.png", *(served / name for name in hostile)]
    names += [Path(OUTSIDE[case](served)) for case in ("a link", "dots", "the passwords")]
    names += [served / "gone.png"]
    results = results_of(served.parent, [row(name) for name in names])
    with Workplace(results, BUILTIN_FAST, ServeOptions()) as workplace:
        ask = Asking(workplace)
        for number, name in enumerate(names):
            for what, kind, form in (
                ("thumbs", "image/webp", "WEBP"), ("pictures", "image/jpeg", "JPEG"),
            ):  # fmt: skip
                answer = ask(f"/scans/results/{what}/{number}")
                if number > 1:
                    assert answer.status == 404, name
                    assert answer.headers["content-type"] == "application/json"
                    continue
                assert (answer.status, answer.headers["content-type"]) == (200, kind)
                assert b"script" not in answer.content
                assert Image.open(io.BytesIO(answer.content)).format == form
        assert ask("/scans/results/pictures/99").status == 404


@pytest.mark.parametrize(
    "target",
    [
        "/scans/results/thumbs/../../../../etc/passwd", "/scans/..%2f..%2fetc%2fpasswd/results.csv",
        "/scans/%2e%2e/results.csv", "/scans/results/thumbs/-1", "/scans/results%00/results.csv",
        "/scans/results/../results/corrections.csv", "//etc/passwd", "/scans/results/thumbs/0x0",
    ],
)  # fmt: skip
def test_no_address_leads_to_a_file(served: Path, target: str) -> None:
    results = results_of(served.parent, [row(served / "a.png")])
    with Workplace(results, BUILTIN_FAST, ServeOptions()) as workplace:
        assert Asking(workplace)(target).status in {400, 404}


@pytest.mark.parametrize(
    "place", ["..", "../secret", "/etc", "inner/../..", "linked", "a\0b", "no"]
)
def test_no_folder_outside_can_be_chosen(served: Path, ask: Asking, place: str) -> None:
    from urllib.parse import quote

    answer = ask(f"/?in={quote(place)}")
    assert answer.status == 400
    assert b"s.png" not in answer.content
    assert ask("/scans", method="POST", body={"folder": place}).status == 400
    assert b"linked" not in ask("/").content
