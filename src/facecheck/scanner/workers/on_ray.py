"""Chunks classified on a Ray cluster, or on a Ray that is started on this machine; extra ``ray``.

The driver, which is this process, lists the items, cuts the chunks and writes the rows in order, as
it does alone; so order, journal and resume are what they are without Ray. Ray only takes a chunk
and returns its rows, which are those of one process since a chunk is classified by itself.

Each chunk is a task of Ray core. Tasks, not actors: Ray runs a task again, anywhere, when its
process or node dies, and uses nodes that join later; what is costly (model, decoding process) is
kept by the processes from task to task. Not Ray Data: it cuts its blocks by their size, where a
batch must hold the same images in every run; it wants its inputs listed before it starts; and rows
that are written as they come, in order, would bypass its writers.

Model and face detector travel through Ray's object store, so that nodes need no shared cache. The
inputs do not: a worker reads them by the driver's paths and addresses. Where it cannot and the
driver can, the scan ends and says so, rather than write an error for each file.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, chdir, closing, contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any

from facecheck.core.errors import FacecheckError, ImageError
from facecheck.core.files import path_text
from facecheck.core.install import extra_hint
from facecheck.core.isolate import Failed, Isolated
from facecheck.core.labels import Status
from facecheck.core.parallel import cpu_count
from facecheck.core.scratch import scratch_folder
from facecheck.core.version import PACKAGE, VERSION
from facecheck.engines.load import load_predictor
from facecheck.model.checkpoint import Header
from facecheck.model.predict import Predictor
from facecheck.scanner.chunking import Chunk
from facecheck.scanner.classifier import Classifier
from facecheck.scanner.inputs.items import Item
from facecheck.scanner.inputs.remote import is_address
from facecheck.scanner.options import ScanOptions
from facecheck.scanner.prepare import Prepared
from facecheck.scanner.results.item_rows import RowForm
from facecheck.scanner.results.sink import Rows
from facecheck.scanner.workers.local import ClassifyChunks, prepared_or_failed, rows_maker

#: Chunks in progress for each core of the cluster: while one is slow, as files that hang make it,
#: the others continue, and rows wait for it. A chunk's items and rows take some 50 kB.
AHEAD = 4
#: How often a chunk whose process or node dies is tried again.
RETRIES = 5


def need_ray() -> None:
    """Make sure that Ray is there.

    Raises:
        FacecheckError: it is not.
    """
    try:
        import ray  # noqa: F401
    except ImportError as error:
        hint = extra_hint(f"{error}: --engine ray", "ray")
        raise FacecheckError(f"{hint}, on every node") from None


@contextmanager
def classify_on_ray(
    classifier: Classifier, checkpoint: Path, device: str, options: ScanOptions, form: RowForm
) -> Iterator[ClassifyChunks]:
    """Classify chunks on a Ray cluster; one that is started for it ends with it.

    Args:
        classifier: what does it; of its predictor only the header is used.
        checkpoint: the predictor's file.
        device: what the workers compute on: ``cpu``, ``mps``, or ``cuda``, where the tasks on a
            node share its GPUs.
        options: which cluster, and how many chunks in progress: with a Ray that is started for it
            ``workers`` are its processes, None for one per core; else chunks at a time, None for
            :data:`AHEAD` for each of the cluster's cores. A Ray that this process is connected to
            already is used, and left running.
        form: how rows are written.

    Raises:
        FacecheckError: there is no such cluster, it has not what the device needs, or a worker
            cannot do its work: it has another facecheck, or cannot read what the driver can.
    """
    need_ray()
    import ray

    chosen = options.ray_address or os.environ.get("RAY_ADDRESS") or "local"
    own = chosen == "local" and not ray.is_initialized()
    with (
        redirect_stdout(sys.stderr),  # Ray prints there that a worker died; rows may go there
        _connected(chosen, options.workers or cpu_count()),
        ExitStack() as opened,
    ):
        setup = ray.put(_setup(classifier, checkpoint, device, options, form))
        how = {"num_cpus": 1, "num_gpus": _gpus(device), "max_retries": RETRIES, "max_calls": 0}
        # In a list, since Ray would hand over a bare reference's value, the model, with each task.
        submit = partial(ray.remote(**how)(_classify).remote, setup=[setup])
        fixed = None if own else options.workers
        most = _most_ahead() if fixed is None else lambda: fixed

        def classify(chunks: Iterator[Chunk]) -> Iterator[tuple[Chunk, Rows]]:
            rows = _in_order(chunks, submit=submit, most=most)
            return opened.enter_context(closing(rows))  # it must end before Ray does

        yield classify


@contextmanager
def _connected(address: str, cores: int) -> Iterator[None]:
    import ray

    if ray.is_initialized():
        yield
        return
    try:
        _connect(address, cores)
        yield
    finally:
        ray.shutdown()


def _connect(address: str, cores: int) -> None:
    import ray

    local = {"num_cpus": cores, "include_dashboard": False} if address == "local" else {}
    home = PACKAGE.parent
    try:
        _reach(address)
        # From elsewhere: Ray lets workers import from the current folder first, and that may hold
        # what is scanned, such as a stranger's numpy.py.
        with chdir(home), _own_signals():
            ray.init(address, log_to_driver=False, logging_level="ERROR", **local)
    except (OSError, OverflowError, ValueError, RuntimeError) as error:
        raise FacecheckError(
            f"no Ray at {address}: {_line(error)}: check --ray-address or RAY_ADDRESS, and that "
            "this machine has the cluster's versions of Python and Ray"
        ) from None


def _reach(address: str) -> None:
    """See whether something answers at an address: Ray itself tries for minutes, and aloud."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep the handlers of signals, which Ray replaces by its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield
    except SystemExit:  # by Ray's handler
        raise KeyboardInterrupt(signal.SIGTERM) from None
    finally:
        for number, handler in handlers:
            signal.signal(number, handler)


def _cores() -> int:
    import ray

    return max(1, int(ray.cluster_resources().get("CPU", 0)))


def _most_ahead() -> Callable[[], int]:
    """Return what says how many chunks may be in progress on the nodes that there are.

    They may join later; asking for them takes milliseconds, so it is done once a second.
    """
    asked, most = -inf, 0

    def ahead() -> int:
        nonlocal asked, most
        if monotonic() > asked + 1:
            asked, most = monotonic(), AHEAD * _cores()
        return most

    return ahead


def _gpus(device: str) -> float:
    """Return the share of a GPU for each task, so that all cores of a node can have one."""
    if not device.startswith("cuda"):
        return 0
    import ray

    gpus = ray.cluster_resources().get("GPU", 0)
    if not gpus:
        raise FacecheckError("the Ray cluster has no GPU: pass --device cpu")
    return min(1, int(1e4 * gpus / _cores()) / 1e4)  # Ray counts in ten-thousandths


@dataclass(frozen=True)
class _Setup:
    """All that a worker needs, but for the files to scan; the same for every chunk of a scan."""

    version: str
    folder: Path
    model: dict[str, bytes]
    suffix: str
    device: str
    header: Header
    prepare: partial[Prepared]
    timeout: float
    batch_size: int
    per_face: bool
    form: RowForm


def _setup(
    classifier: Classifier, checkpoint: Path, device: str, options: ScanOptions, form: RowForm
) -> _Setup:
    return _Setup(
        version=VERSION,
        folder=Path.cwd(),
        model={file.suffix: file.read_bytes() for file in _files_of(checkpoint)},
        suffix=checkpoint.suffix,
        device=device.partition(":")[0],  # Ray shows a task no GPU but its own
        header=classifier.predictor.header,  # which may hold other thresholds than the file
        prepare=classifier.prepare,
        timeout=options.timeout,
        batch_size=classifier.batch_size,
        per_face=options.per_face,
        form=form,
    )


def _files_of(checkpoint: Path) -> list[Path]:
    """Return a model's files: OpenVINO's are two."""
    weights = checkpoint.with_suffix(".bin")
    both = checkpoint.suffix.lower() == ".xml" and weights.is_file()
    return [checkpoint, weights] if both else [checkpoint]


@dataclass(frozen=True)
class _Classified:
    """What a worker returns of a chunk.

    Attributes:
        rows: of each item.
        unreadable: positions of the items that it could not even read.
        node: where it is.
    """

    rows: Rows
    unreadable: list[int]
    node: str


def _in_order(
    chunks: Iterator[Chunk],
    *,
    submit: Callable[[Chunk], Any],
    most: Callable[[], int],
) -> Generator[tuple[Chunk, Rows]]:
    """Yield each chunk with its rows, in order, while up to ``most()`` others are in progress."""
    import ray

    begun: deque[tuple[Chunk, Any]] = deque()
    try:
        for chunk in chunks:
            begun.append((chunk, submit(chunk)))
            while len(begun) > most() or (begun and ray.wait([begun[0][1]], timeout=0)[0]):
                yield _finished(*begun.popleft())
        while begun:
            yield _finished(*begun.popleft())
    finally:
        for _, reference in begun:
            ray.cancel(reference, force=True)


def _finished(chunk: Chunk, reference: Any) -> tuple[Chunk, Rows]:
    """Wait for a chunk's rows.

    Raises:
        FacecheckError: as :func:`on_ray` says.
    """
    import ray

    try:
        done: _Classified = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, FacecheckError):
            raise error.cause from None
        if "No module named" in str(error.cause):
            raise FacecheckError(
                f"a worker cannot import facecheck {VERSION} "
                f"({_line(error.cause)}): install it on every node, with the extra ray"
            ) from None
        raise
    except ray.exceptions.RayError as error:
        raise FacecheckError(
            f"{chunk.items[0].name} and what follows it cannot be classified: {_line(error)}: look "
            "into Ray's logs, and run the same command again to resume"
        ) from None
    for position in done.unreadable:
        _refuse_if_readable(chunk.items[position], done.node)
    return chunk, done.rows


def _refuse_if_readable(item: Item, node: str) -> None:
    if not _is_readable(item):  # for anybody
        return
    raise FacecheckError(
        f"{item.name} can be read here, but not by the worker on {node}: with --engine ray, inputs "
        "lie at the same path on every node, or in an object store that every node may read"
    )


def _line(error: BaseException) -> str:
    """Return the first line of what Ray says, which may be a page long."""
    line = next(filter(None, str(error).splitlines()), type(error).__name__)
    return " ".join(line.split()).rstrip(".")


def _classify(chunk: Chunk, setup: list[Any]) -> _Classified:
    """Classify a chunk: what runs on the cluster."""
    worker = _worker(setup[0])
    node = socket.gethostname()
    if not worker.in_folder and any(map(_is_relative, chunk.items)):
        raise FacecheckError(
            f"the worker on {node} has no folder {path_text(worker.setup.folder)}: with --engine "
            "ray, inputs lie at the same path on every node, or in an object store"
        )
    done = [_prepared(item, worker.isolated, worker.again) for item in chunk.items]
    rows = worker.rows_of([prepared for prepared, _ in done])
    return _Classified(rows, [at for at, (_, readable) in enumerate(done) if not readable], node)


def _is_relative(item: Item) -> bool:
    return not item.name.startswith("/") and not is_address(item.name)


def _prepared(
    item: Item,
    isolated: Isolated[Item, tuple[Prepared, bool]],
    again: Isolated[Item, Prepared] | None,
) -> tuple[Prepared, bool]:
    result = isolated(item)
    return (prepared_or_failed(item, result, again), True) if isinstance(result, Failed) else result


def _prepare(item: Item, work: Callable[[Item], Prepared]) -> tuple[Prepared, bool]:
    """Prepare an item; tell whether it could be read, however damaged it is."""
    prepared = work(item)
    return prepared, prepared.status != Status.ERROR or _is_readable(item)


def _is_readable(item: Item) -> bool:
    try:
        with item.open():
            return True
    except ImageError:
        return False


@dataclass(frozen=True)
class _Worker:
    """What a process of the cluster keeps from chunk to chunk.

    Attributes:
        setup: of the scan.
        in_folder: whether it is in the driver's folder, so that relative paths mean the same.
        isolated: prepares an item.
        again: prepares one without its C2PA manifest; None where none is read.
        rows_of: the second half of the work, on one core, since there is a process for each.
    """

    setup: _Setup
    in_folder: bool
    isolated: Isolated[Item, tuple[Prepared, bool]]
    again: Isolated[Item, Prepared] | None
    rows_of: Callable[[Sequence[Prepared]], Rows]


@lru_cache(maxsize=1)
def _worker(reference: Any) -> _Worker:
    import ray

    setup: _Setup = ray.get(reference)
    if setup.version != VERSION:
        raise FacecheckError(
            f"the worker on {socket.gethostname()} has facecheck {VERSION}, and this "
            f"machine {setup.version}: install the same on every node"
        )
    in_folder = False
    with suppress(OSError):
        os.chdir(setup.folder)
        in_folder = True
    isolated: Isolated[Item, tuple[Prepared, bool]] = Isolated(
        partial(_prepare, work=setup.prepare), timeout=setup.timeout
    )
    classifier = Classifier(_load(setup), setup.prepare, batch_size=setup.batch_size)
    pixels_only = classifier.prepare_without_manifests
    again = None if pixels_only is None else Isolated(pixels_only, timeout=setup.timeout)
    rows_of = rows_maker(classifier, setup.form, per_face=setup.per_face)
    return _Worker(setup, in_folder, isolated, again, rows_of)


def _load(setup: _Setup) -> Predictor:
    with scratch_folder() as folder:
        file = folder / f"model{setup.suffix}"
        for suffix, content in setup.model.items():
            file.with_suffix(suffix).write_bytes(content)
        predictor = load_predictor(file, setup.device, threads=1)
    predictor.header = setup.header
    return predictor
