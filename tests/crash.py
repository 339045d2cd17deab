"""Crash points: a command killed at each change of the file system that it makes, then run again.

A change is what Python's audit hooks show of the main process within the folders in question:
opening a file to write, renaming, removing, linking, making folders, changing length, mode, times;
and each ``os.write``, of which half is written before the kill. What compiled libraries write by
themselves (Polars, Arrow) is seen as the opening and renaming around it.

The command dies by SIGKILL just before its n-th change. Then the same command runs again, and the
folders must hold the same bytes under the same names as after an unbroken run, nothing more.

Commands run in children that a process forks which has everything imported: so a run costs what the
command costs. ``python -m tests.crash`` serves that process; :class:`Commands` talks to it.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import os
import pkgutil
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
from draw_faces import draw_dataset

#: What differs between two unbroken runs: clocks. It is not compared.
VOLATILE = (
    rb'"mtime_ns": ?\d+',
    rb'"(seconds|made|fetched|when|data_seconds|images_per_second|minutes)": ?[\d.e+-]+',
    rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(\+\d\d:?\d\d|Z)?",
)

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_PATHS = {
    "os.rename": 2, "os.remove": 1, "os.rmdir": 1, "os.mkdir": 1, "os.link": 2, "os.symlink": 2,
    "os.truncate": 1, "os.chmod": 1, "os.utime": 1,
}  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: its exit code, or minus the number of the signal that killed it.
        changes: the changes it made, in words; of an unbroken run only.
        err: what it wrote to stderr.
    """

    code: int
    changes: tuple[str, ...]
    err: str


class Commands:
    """Runs commands of facecheck, each in a process of its own. A context manager.

    Args:
        scratch: a folder for what they print.
        packages: what is imported beforehand.
    """

    def __init__(self, scratch: Path, packages: Sequence[str] = ("facecheck",)) -> None:
        self._scratch, self._packages = scratch, packages

    def run(
        self, arguments: Sequence[str], folder: Path, roots: Sequence[Path] = (), *, at: int = 0
    ) -> Ended:
        """Run ``facecheck <arguments>`` in a folder.

        Args:
            arguments: of the command line.
            folder: where it runs.
            roots: the folders whose changes count; none: that one.
            at: kill it before this change, counted from 1; 0: never.
        """
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        asked = {
            "arguments": list(arguments),
            "folder": str(folder),
            "roots": [str(root) for root in roots or (folder,)],
            "at": at,
            "scratch": str(self._scratch),
        }
        self._server.stdin.write(json.dumps(asked) + "\n")
        self._server.stdin.flush()
        code = int(self._server.stdout.readline())
        changes = self._scratch / "changes.json"
        return Ended(
            code,
            tuple(json.loads(changes.read_bytes())) if changes.exists() else (),
            (self._scratch / "err.txt").read_text(errors="replace"),
        )

    def __enter__(self) -> Self:
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.crash", *self._packages],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
            env={**os.environ, **threads, "TMPDIR": str(self._scratch), "NO_COLOR": "1"},
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._server.communicate()


def serve() -> None:
    """Fork a child for each line on stdin; answer how it ended on stdout."""
    for package in sys.argv[1:]:
        inside = importlib.import_module(package).__path__
        for module in pkgutil.walk_packages(inside, f"{package}."):
            with contextlib.suppress(ImportError):
                if not module.name.endswith("__main__"):
                    importlib.import_module(module.name)
    for line in sys.stdin:
        asked = json.loads(line)
        (Path(asked["scratch"]) / "changes.json").unlink(missing_ok=True)
        child = os.fork()
        if not child:
            _run(asked)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _run(asked: dict[str, Any]) -> None:
    """Run one command, and end this process."""
    scratch = Path(asked["scratch"])
    for number, name in ((0, os.devnull), (1, scratch / "out.txt"), (2, scratch / "err.txt")):
        handle = os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, number)
        os.close(handle)
    os.chdir(asked["folder"])
    sys.argv = ["facecheck", *asked["arguments"]]
    code: Any = 1
    changes = _Changes([os.path.realpath(root) for root in asked["roots"]], asked["at"])
    try:
        from facecheck.cli import main

        changes.watch()
        main()
        code = 0
    except SystemExit as stop:
        code = stop.code or 0
    except BaseException:
        import traceback

        traceback.print_exc()
    changes.ended = True
    if not asked["at"]:
        (scratch / "changes.json").write_text(json.dumps(changes.seen))
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)


class _Changes:
    """Counts this process's changes within some folders, and dies before one of them."""

    def __init__(self, roots: list[str], at: int) -> None:
        self.seen: list[str] = []
        self.ended = False
        self._roots, self._at, self._pid, self._write = roots, at, os.getpid(), os.write

    def watch(self) -> None:
        sys.addaudithook(self._audited)
        os.write = self._written

    def _audited(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITING:
                self._note("open", [path])
        elif event in _PATHS:
            self._note(event.removeprefix("os."), arguments[: _PATHS[event]])

    def _written(self, handle: int, data: Any) -> int:
        if self._note("write", [handle], kill=False):
            self._write(handle, bytes(data)[: len(data) // 2])
            os.kill(self._pid, signal.SIGKILL)
        return self._write(handle, data)

    def _note(self, event: str, paths: Sequence[Any], *, kill: bool = True) -> bool:
        """Count a change; return whether it is the one to die before, unless ``kill`` does it."""
        if self.ended or os.getpid() != self._pid:
            return False
        named = [self._inside(path) for path in paths]
        if not any(named):
            return False
        self.seen.append(" ".join([event, *(name or "-" for name in named)]))
        if len(self.seen) != self._at:
            return False
        if kill:
            os.kill(self._pid, signal.SIGKILL)
        return True

    def _inside(self, path: Any) -> str | None:
        """Return the path's name below a root, or None where it is elsewhere."""
        try:
            if isinstance(path, int):
                full = Path(f"/proc/self/fd/{path}").readlink()
            else:  # of a link it is the link that changes, so only its folder is resolved
                named = Path(os.fsdecode(path))
                full = named.parent.resolve() / named.name
        except (OSError, TypeError, ValueError):
            return None
        for root in self._roots:
            if full.is_relative_to(root):
                return str(full.relative_to(root))
        return None


@dataclass(frozen=True)
class Case:
    """A command to kill.

    Attributes:
        name: what it is called in the table.
        arguments: its command line; ``TO`` stands for the folder that files are placed in.
        before: command lines that prepare the workspace.
        again: command lines to run after a kill, the next where one is refused; empty: the same.
        other: whether ``TO`` is on another file system.
        images: drawn images of each kind; one more is the same as another.
        model: whether it needs the tiny model, or PyTorch.
        uncompared: files that are not compared: they hold durations in binary, or what a second run
            after a finished one read.
    """

    name: str
    arguments: tuple[str, ...]
    before: tuple[tuple[str, ...], ...] = ()
    again: tuple[tuple[str, ...], ...] = ()
    other: bool = False
    images: int = 2
    model: bool = False
    uncompared: tuple[str, ...] = ()


@dataclass
class Tried:
    """What came of the crash points of one command.

    Attributes:
        points: changes of an unbroken run.
        tried: kills.
        lost: what differed afterwards, by point.
        refused: points after which the same command said that all is there, and was right.
    """

    case: Case
    points: int
    tried: int = 0
    lost: dict[str, str] = field(default_factory=dict)
    refused: int = 0


class Workspace:
    """A folder in which one case runs over and over, from the same beginning.

    Args:
        commands: what runs it.
        folder: a folder for all of it.
        case: the case.
        models: a folder with ``tiny.safetensors`` and ``tiny.onnx``, of drawn images.
        elsewhere: a folder on another file system.
    """

    def __init__(
        self,
        commands: Commands,
        folder: Path,
        case: Case,
        models: Path,
        elsewhere: Path | None,
    ) -> None:
        self.case, self._commands = case, commands
        self._here, self._kept = folder / "ws", folder / "kept"
        self._to = elsewhere / "to" if case.other and elsewhere else self._here / "to"
        for old in (self._here, self._kept, self._to):
            shutil.rmtree(old, ignore_errors=True)
        _fill(self._here, case.images, models)
        for arguments in case.before:
            ended = self._run(arguments)
            assert ended.code == 0, ended.err
        shutil.copytree(self._here, self._kept, symlinks=True)
        self._here_again()
        self.whole = self._run(case.arguments)
        assert self.whole.code == 0, self.whole.err
        self._unbroken = self._contents()

    def points(self, most: int | None = None) -> list[int]:
        """Return the numbers of the changes, or some of them, evenly spread, the last included."""
        count = len(self.whole.changes)
        wanted = count if most is None else min(most, count)
        return sorted({count - (count - 1) * n // max(1, wanted - 1) for n in range(wanted)})

    def tried(self, points: Sequence[int]) -> Tried:
        """Kill the command at each of these points, run it again, and compare."""
        found = Tried(self.case, len(self.whole.changes))
        for point in points:
            self._here_again()
            ended = self._run(self.case.arguments, at=point)
            if ended.code != -signal.SIGKILL:  # a thread was faster this time, and it ended
                assert ended.code == 0, ended.err
                continue
            found.tried += 1
            why = self._resumed(found)
            if why:
                found.lost[f"{point} ({self.whole.changes[point - 1]})"] = why
        return found

    def _resumed(self, found: Tried) -> str:
        """Run the command again; return how what it left differs from an unbroken run's."""
        for arguments in self.case.again or (self.case.arguments,):
            ended = self._run(arguments)
            if ended.code == 0:
                break
        differs = _difference(self._contents(), self._unbroken)
        said = ended.err.strip().splitlines()[-1:] if ended.code else []
        if ended.code and not differs:  # "exists: pass --overwrite": all was there
            found.refused += 1
            return ""
        return "; ".join([*said, *differs])

    def _here_again(self) -> None:
        for old in (self._here, self._to):
            shutil.rmtree(old, ignore_errors=True)
        shutil.copytree(self._kept, self._here, symlinks=True)

    def _run(self, arguments: Sequence[str], *, at: int = 0) -> Ended:
        named = [str(self._to) if each == "TO" else each for each in arguments]
        return self._commands.run(named, self._here, (self._here, self._to), at=at)

    def _contents(self) -> dict[str, str]:
        found = {**contents(self._here), **{f"TO/{k}": v for k, v in contents(self._to).items()}}
        return {k: "not compared" if k in self.case.uncompared else v for k, v in found.items()}


def _fill(folder: Path, images: int, models: Path) -> None:
    """Put drawn images, as files and as an archive, and models into a new workspace."""
    raw = folder / "raw"
    draw_dataset(raw, images)
    first = raw / "photo" / "drawn-photo" / "000.png"
    shutil.copy2(first, first.with_name("copy.png"))
    with Image.open(first) as picture:
        picture.convert("RGB").save(first.with_name("again.jpg"), quality=90)
    shutil.make_archive(str(raw), "zip", raw)
    for name in ("tiny.safetensors", "tiny.onnx"):
        if (models / name).exists():
            shutil.copy2(models / name, folder / name)


def make_models(folder: Path) -> None:
    """Train a tiny classifier of drawn images for a second, and export it."""
    import facecheck
    from facecheck.engines.export import export_checkpoint
    from facecheck.training.recipe import Recipe

    draw_dataset(folder / "raw", 12)
    manifest = folder / "m.csv"
    facecheck.index([folder / "raw"], manifest)
    facecheck.split(manifest, facecheck.SplitOptions(ratio="6:3:3"))
    recipe = Recipe(
        arch="resnet10t", pretrained=False, epochs=2, image_size=32, batch_size=8, lr=2e-3, seed=1
    )
    options = facecheck.TrainOptions(runs=folder / "runs", device="cpu", workers=0)
    facecheck.train(manifest, recipe, options).best.rename(folder / "tiny.safetensors")
    export_checkpoint(folder / "tiny.safetensors", folder / "tiny.onnx", manifest=manifest)


def contents(folder: Path) -> dict[str, str]:
    """Return what is below a folder: by name, the digest of each file without what clocks say."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            said = f"link to {path.readlink()}"
        elif path.is_dir():
            said = "folder"
        else:
            content = path.read_bytes()
            for volatile in VOLATILE if path.suffix in _TEXTS else ():
                content = re.sub(volatile, b"", content)
            said = hashlib.sha256(content).hexdigest()
        found[path.relative_to(folder).as_posix()] = said
    return found


_TEXTS = {".json", ".jsonl", ".html", ".lock", ".csv"}


def _difference(found: dict[str, str], wanted: dict[str, str]) -> list[str]:
    names = sorted(found.keys() | wanted.keys())
    differing = [name for name in names if found.get(name) != wanted.get(name)]
    how = {(True, True): "differs", (True, False): "is left", (False, True): "is missing"}
    return [f"{name} {how[name in found, name in wanted]}" for name in differing[:5]]


@contextlib.contextmanager
def on_another_disk(folder: Path) -> Iterator[Path | None]:
    """Yield a new folder on another file system than ``folder``, or None where there is none."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == folder.stat().st_dev:
        yield None
        return
    other = memory / f"facecheck-crash-{os.getpid()}"
    other.mkdir()
    try:
        yield other
    finally:
        shutil.rmtree(other, ignore_errors=True)


_INDEX = ("index", "raw", "--out", "m.csv", "--workers", "1", "--quiet")
_DEDUP = ("dedup", "m.csv", "--workers", "1", "--quiet")
_SPLIT = ("split", "m.csv", "--quiet")
_THIRDS = (*_SPLIT, "--ratio", "6:3:3")
_MOVE = (*_DEDUP, "--apply", "move", "--to", "TO", "--yes")
_SCAN = (
    *("scan", "raw", "--out", "r.csv", "--checkpoint", "tiny.onnx", "--faces", "off"),
    *("--device", "cpu", "--workers", "1", "--quiet"),
)
_CHECK = ("check", "m.csv", "--no-features", "--workers", "1", "--quiet")
_TRAIN = (
    *("train", "--manifest", "m.csv", "--arch", "resnet10t", "--no-pretrained", "--epochs", "1"),
    *("--image-size", "32", "--batch-size", "8", "--device", "cpu", "--workers", "0", "--quiet"),
    *("--name", "r", "--precision", "fp32"),
)
_GENERATE = (
    *("generate", "train", "--manifest", "m.csv", "--steps", "2", "--width", "1", "--quiet"),
    *("--batch-size", "4", "--device", "cpu", "--name", "g", "--save-every", "0"),
)
_GENERATOR = "runs/g/generator.safetensors"

CASES = (
    Case("index", _INDEX),
    Case("dedup", _DEDUP, (_INDEX,)),
    Case("split", _SPLIT, (_INDEX, _DEDUP)),
    Case("dedup --apply move", _MOVE, (_INDEX,)),
    Case("dedup --apply move, to another disk", _MOVE, (_INDEX,), other=True),
    Case("dedup --out --apply move", (*_MOVE, "--out", "d.csv"), (_INDEX,)),
    Case("dedup --apply hardlink", (*_DEDUP, "--apply", "hardlink", "--to", "TO"), (_INDEX,)),
    Case(
        "fetch --from a zip",
        ("fetch", "--from", "raw.zip", "--workers", "1", "--quiet"),
        # Run again after its end, it deduplicates the table that it has deduplicated already, and
        # that is the input which the table's .meta.json names.
        uncompared=("data/manifest.csv.meta.json",),
    ),
    Case("scan", _SCAN, model=True),
    Case("scan, to Parquet", (*_SCAN, "--out", "r.parquet"), model=True),
    # Paintings are new, sketches are gone.
    Case(
        "scan --update",
        (*_SCAN, "--exclude", "sketch", "--update"),
        ((*_SCAN, "--exclude", "painting"),),
        model=True,
    ),
    Case(
        "scan --update, of Parquet",
        (*_SCAN, "--exclude", "sketch", "--out", "r.parquet", "--update"),
        ((*_SCAN, "--exclude", "painting", "--out", "r.parquet"),),
        model=True,
    ),
    Case("scan --copy-to", (*_SCAN, "--copy-to", "TO"), model=True),
    Case("scan --move-to", (*_SCAN, "--move-to", "TO", "--yes"), model=True),
    Case(
        "scan --move-to another disk",
        (*_SCAN, "--move-to", "TO", "--yes"),
        other=True,
        model=True,
    ),
    Case(
        "scan --move-to --overwrite",
        (*_SCAN, "--move-to", "TO", "--yes", "--overwrite"),
        (_SCAN,),
        model=True,
    ),
    Case("place --copy-to", ("place", "r.csv", "--copy-to", "TO", "--quiet"), (_SCAN,), model=True),
    Case(
        "place --move-to another disk",
        ("place", "r.csv", "--move-to", "TO", "--yes", "--quiet"),
        (_SCAN,),
        other=True,
        model=True,
    ),
    Case("report of a scan", ("report", "r.csv", "--out", "page", "--quiet"), (_SCAN,), model=True),
    Case(
        "report --overwrite",
        ("report", "r.csv", "--out", "page", "--overwrite", "--quiet"),
        (_SCAN, ("report", "r.csv", "--out", "page", "--thumbnails", "1", "--quiet")),
        model=True,
    ),
    Case("convert to folders", ("convert", "m.csv", "faces", "--quiet"), (_INDEX,)),
    Case("convert to Parquet", ("convert", "m.csv", "m2.parquet", "--quiet"), (_INDEX,)),
    Case("crop", ("crop", "m.csv", "--out", "faces", "--workers", "1", "--quiet"), (_INDEX,)),
    Case("check", _CHECK, (_INDEX,)),
    Case(
        "known add",
        ("known", "add", "raw", "--verdict", "artificial", "--workers", "1", "--quiet"),
    ),
    Case(
        "calibrate",
        ("calibrate", "tiny.safetensors", "--manifest", "m.csv", "--device", "cpu", "--quiet"),
        (_INDEX, _THIRDS),
        images=8,
        model=True,
    ),
    Case(
        "export to TorchScript",
        ("export", "tiny.safetensors", "--out", "e.ts", "--manifest", "m.csv", "--quiet"),
        (_INDEX, _THIRDS),
        images=8,
        model=True,
    ),
    Case(
        "train, resumed",
        _TRAIN,
        (_INDEX, _THIRDS),
        (("train", "--resume", "runs/r", "--device", "cpu", "--workers", "0", "--quiet"), _TRAIN),
        images=8,
        model=True,
    ),
    Case(
        "generate train, resumed",
        _GENERATE,
        (_INDEX, _THIRDS),
        (
            ("generate", "train", "--resume", "runs/g", "--steps", "2", "--device", "cpu"),
            _GENERATE,
        ),
        images=8,
        model=True,
        uncompared=("runs/g/state.pt",),
    ),
    Case(
        "generate sample --overwrite",
        (
            *("generate", "sample", _GENERATOR, "--count", "3", "--out", "made", "--overwrite"),
            *("--device", "cpu", "--quiet"),
        ),
        (_INDEX, _THIRDS, _GENERATE),
        images=8,
        model=True,
    ),
)


if __name__ == "__main__":
    serve()
