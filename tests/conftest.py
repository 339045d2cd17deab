"""Images drawn for the tests, real ones, a trained checkpoint, and a way to run commands."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

# Tests start hundreds of processes; what one compiles is there for the next.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
if "PYTEST_XDIST_WORKER" in os.environ:
    # One of several processes: threads that wait for one another spin on the other's core.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    # Such a process has a size of terminal from nowhere, and output to a file is to have none.
    for name in ("COLUMNS", "LINES"):
        os.environ.pop(name, None)

import numpy as np
import pytest
from PIL import Image

import facecheck
from facecheck.cli import main
from facecheck.scanner.faces.detector import PACKAGED
from facecheck.training.recipe import Recipe

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
from draw_faces import draw_dataset

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Page

pytest_plugins = ["tests.skip_budget"]

SHARED = Path(__file__).parents[2] / "shared"

#: Put in front of a command: what runs then may do no more than the permissions of files allow,
#: even if the tests are run by root.
UNPRIVILEGED = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()

#: A network small enough to train in a second or two. Its precision is named: where it is chosen by
#: timing, two trainings on a busy machine may choose differently.
SMALL = Recipe(
    arch="resnet10t", pretrained=False, epochs=2, image_size=32, batch_size=8, lr=2e-3, seed=1,
    precision="fp32",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that drive a browser."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real images; a test that asks for them is skipped where they are not."""
    if not (SHARED / "data").is_dir():
        pytest.skip("the real images of ../shared/data are not on this machine")
    return SHARED / "data"


@pytest.fixture(scope="session")
def detector() -> Path:
    """The face detector's file."""
    return PACKAGED


RealImages = Callable[..., list[Path]]


@pytest.fixture(scope="session")
def real_images(shared_data: Path) -> RealImages:
    """``real_images("photo/ffhq-256", 6)`` returns six images of a source, always the same ones.

    They are the first that ``real_images.txt`` names, since files are added to ../shared/data.
    Without arguments: all that it names.
    """
    names = (Path(__file__).parent / "real_images.txt").read_text().splitlines()

    def some(source: str = "", count: int | None = None) -> list[Path]:
        found = [shared_data / name for name in names if name.startswith(source)]
        assert len(found) >= (count or 1), f"real_images.txt names {len(found)} of {source}"
        return found[:count]

    return some


@pytest.fixture(scope="session")
def portraits(real_images: RealImages) -> list[Path]:
    """Ten photographs of one face each, cropped to it, of 256 x 256 pixels."""
    return real_images("photo/ffhq-256/", 40)[::4]


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of drawn images: 12 each of photo, cartoon and sketch. Not to be changed."""
    folder = tmp_path_factory.mktemp("drawn")
    draw_dataset(folder, 12)
    return folder


@pytest.fixture(scope="session")
def trained(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A manifest of the drawn images with splits, and a checkpoint trained on it."""
    workspace = tmp_path_factory.mktemp("trained")
    manifest = workspace / "manifest.csv"
    facecheck.index([drawn], manifest)
    facecheck.split(manifest, facecheck.SplitOptions(ratio="6:3:3"))
    result = facecheck.train(
        manifest, SMALL, facecheck.TrainOptions(runs=workspace / "runs", device="cpu", workers=0)
    )
    return manifest, result.best


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Outcome]:
    """Run ``facecheck …`` in ``tmp_path`` as the shell would; return how it ended."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["facecheck", *map(str, arguments)])
        capfd.readouterr()
        code: int | str | None = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code
        captured = capfd.readouterr()
        return Outcome(int(code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def bad_files(tmp_path: Path, drawn: Path) -> dict[str, str]:
    """Write one folder of files that trip tools up to ``tmp_path/bad``.

    Returns, by name, a part of the reason each must be refused with; empty for those that must
    be read.
    """
    folder = tmp_path / "bad"
    folder.mkdir()
    face = Image.open(drawn / "photo" / "drawn-photo" / "000.png")
    face.save(folder / "whole.jpg")
    whole = (folder / "whole.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_text("not a picture")
    (folder / "empty.jpg").touch()
    Image.fromarray(np.full((40, 40), 40_000, np.uint16)).save(folder / "sixteen.png")
    face.convert("CMYK").save(folder / "cmyk.jpg")
    palette = face.convert("P")
    palette.info["transparency"] = 0
    palette.save(folder / "palette.png", transparency=0)
    frames = [face, face.rotate(90)]
    frames[0].save(folder / "animated.gif", save_all=True, append_images=frames[1:])
    (folder / "bomb.png").write_bytes(png_header(60_000, 60_000))
    shutil.copy(folder / "whole.jpg", folder / "png_inside.webp")
    return {
        "whole.jpg": "",
        "truncated.jpg": "truncated",
        "text.jpg": "not an image",
        "empty.jpg": "empty",
        "sixteen.png": "",
        "cmyk.jpg": "",
        "palette.png": "",
        "animated.gif": "",
        "bomb.png": "too large",
        "png_inside.webp": "",
    }


def png_header(width: int, height: int) -> bytes:
    """Return a PNG that claims this size and holds next to nothing."""
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


# Not for the whole session: while it is there, playwright's event loop runs in the main thread.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium; a test that asks for it is skipped where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright of extra test")
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next(filter(None, map(shutil.which, names)), None)
    if chromium is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    flags = [
        *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
        *("--disable-background-networking", "--disable-component-update"),
    ]
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=flags)
        yield started
        started.close()


@pytest.fixture
def browse(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open a page as people do: ``browse(path, width=390, dark=True)`` returns it.

    When the test ends, no page may have written an error to its console, opened an alert, or asked
    for anything but files; and none may be wider than its window. What there was is in
    ``browse.faults``.
    """
    pages: list[Page] = []
    faults: list[str] = []

    def note(fault: str, counts: bool = True) -> None:
        if counts:
            faults.append(fault)

    def alerted(dialog: Dialog) -> None:
        note(dialog.message)
        dialog.dismiss()

    def watch(page: Page) -> None:
        local = ("file:", "data:", "blob:")
        page.on("console", lambda said: note(said.text, said.type == "error"))
        page.on("pageerror", lambda error: note(str(error)))
        page.on("dialog", alerted)
        page.on("request", lambda asked: note(asked.url, not asked.url.startswith(local)))

    def open_page(path: Path, *, width: int = 1280, height: int = 800, dark: bool = False) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            accept_downloads=True,
        )
        page = context.new_page()
        watch(page)
        page.goto(path.resolve().as_uri())
        pages.append(page)
        return page

    open_page.faults = faults  # type: ignore[attr-defined]
    yield open_page
    for page in pages:
        over = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(over) <= 0, "wider than its window"
        page.context.close()
    assert faults == []
