"""scan: folders of images to one row per file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import facecheck
from facecheck.core.errors import FacecheckError, UsageError
from facecheck.core.files import path_text, refuse_to_overwrite, sha256_file
from facecheck.core.image import DECODE_POLICY, is_image_name
from facecheck.core.kinds import KINDS
from facecheck.core.parallel import Progress, chunked, silent
from facecheck.core.tree import walk_files
from facecheck.model.checkpoint import Header
from facecheck.model.engine import load_predictor
from facecheck.model.predict import ERROR, OK, Prediction, Predictor, Verdict, judge
from facecheck.model.stability import judge_stably
from facecheck.scanner.sink import COLUMNS, STABILITY_COLUMNS, CsvSink


@dataclass(frozen=True)
class ScanResult:
    """What ``scan`` did.

    Attributes:
        out: the results file, one row per file.
        checkpoint: the model's file.
        files: rows in it.
        resumed: rows that an earlier, interrupted run had left.
        ignored: files whose names do not end like an image's; they have no row.
        statuses: rows by status.
        verdicts: rows by verdict.
        kinds: rows by kind.
    """

    out: Path
    checkpoint: Path
    files: int
    resumed: int
    ignored: int
    statuses: Mapping[str, int]
    verdicts: Mapping[str, int]
    kinds: Mapping[str, int]


def scan(
    inputs: Sequence[Path],
    out: Path,
    checkpoint: Path,
    *,
    stability: int = 0,
    overwrite: bool = False,
    device: str = "auto",
    batch_size: int = 32,
    workers: int | None = None,
    progress: Progress = silent,
) -> ScanResult:
    """Judge every image under ``inputs`` and write one row per file, bad files included.

    Rows come in the order of the inputs, and within a folder in the order of names. They are
    written as they come, to ``<out>.partial``; interrupt at any moment and run the same again,
    and it goes on to the same bytes as an unbroken run.

    Args:
        inputs: folders (searched in depth for files named like images) and single files.
        out: the results, ``.csv``.
        checkpoint: a checkpoint by ``train``.
        stability: judge each image in so many variants as well, scaled and encoded anew: a verdict
            that flips becomes ``uncertain``, and a column says how far the score moves; 0: none.
        overwrite: replace an existing ``out``.
        device: ``auto``, ``cuda``, ``mps`` or ``cpu``.
        batch_size: images a step, 1 or more.
        workers: decoding threads; None takes one per core.
        progress: told files done and files in all.

    Raises:
        UsageError: an input is missing, or ``out`` exists or does not end in ``.csv``.
        CheckpointError: the checkpoint cannot be used.
        FacecheckError: there is no image, or the results cannot be written.
    """
    if out.suffix.lower() != ".csv":
        raise UsageError(f"{path_text(out)}: results are written as .csv: give such a name")
    refuse_to_overwrite(out, overwrite=overwrite)
    files, ignored = list_images(inputs)
    if not files:
        raise FacecheckError(
            f"no images in {', '.join(map(path_text, inputs))} ({ignored:,} other files): check "
            "the folder, or the endings of its files"
        )
    predictor = load_predictor(checkpoint, device)
    facts = {
        "facecheck": facecheck.__version__,
        "decode_policy": DECODE_POLICY,
        "checkpoint_sha256": sha256_file(checkpoint),
        "device": str(predictor.device),
        "batch_size": batch_size,
        "stability": stability,
    }
    names = [path_text(path) for path in files]
    try:
        columns = STABILITY_COLUMNS if stability else COLUMNS
        with CsvSink(out, facts, names, batch_size, columns) as sink:
            done = sink.done
            left = files[done:]
            rows: Iterable[list[str]]
            if stability:
                rows = _stable_rows(predictor, left, stability, workers)
            else:
                predictions = predictor.predict(left, batch_size=batch_size, workers=workers)
                rows = (_row(prediction, predictor.header) for prediction in predictions)
            for batch in chunked(rows, batch_size):
                sink.write(batch)
                done += len(batch)
                progress(done, len(files))
            sink.finish()
    except OSError as error:
        raise FacecheckError(
            f"{path_text(out)}: cannot be written ({error.strerror}): check the folder"
        ) from None
    return ScanResult(
        out=out,
        checkpoint=checkpoint,
        files=len(files),
        resumed=sink.done,
        ignored=ignored,
        statuses=_marginal(sink.tally, 0),
        verdicts=_marginal(sink.tally, 1),
        kinds=_marginal(sink.tally, 2),
    )


def _marginal(tally: Mapping[tuple[str, ...], int], position: int) -> dict[str, int]:
    """Sum a tally over all but one position of its keys, leaving out the empty value."""
    sums: Counter[str] = Counter()
    for key, count in tally.items():
        if key[position]:
            sums[key[position]] += count
    return dict(sums)


def list_images(inputs: Sequence[Path]) -> tuple[list[Path], int]:
    """Return the images under ``inputs``, and how many other files there are.

    A file that is named itself is taken whatever its ending. A file reached twice is listed once.

    Raises:
        UsageError: an input is neither a folder nor a file.
    """
    found: dict[Path, None] = {}
    ignored = 0
    for given in inputs:
        if given.is_dir():
            for path in walk_files(given):
                if is_image_name(path):
                    found[path] = None
                else:
                    ignored += 1
        elif given.is_file():
            found[given] = None
        else:
            raise UsageError(f"nothing to scan at {path_text(given)}: check the path")
    return list(found), ignored


def _row(prediction: Prediction, header: Header) -> list[str]:
    if prediction.logits is None:
        return _error_row(prediction.path, prediction.message, COLUMNS)
    return _answer_row(prediction.path, judge(prediction.logits, header, prediction.features))


def _stable_rows(
    predictor: Predictor, files: Sequence[Path], stability: int, workers: int | None
) -> Iterator[list[str]]:
    found = judge_stably(files, predictor, stability, workers=workers)
    for path, told in zip(files, found, strict=True):
        if isinstance(told, str):
            yield _error_row(path, told, STABILITY_COLUMNS)
        else:
            answer = replace(told.answer, verdict=told.verdict)
            yield _answer_row(path, answer, f"{told.spread:.6f}")


def _error_row(path: Path, message: str, columns: Sequence[str]) -> list[str]:
    return [path_text(path), ERROR, *[""] * (len(columns) - 3), message]


def _answer_row(path: Path, verdict: Verdict, *spread: str) -> list[str]:
    shares = [
        f"{verdict.probabilities[kind]:.6f}" if kind in verdict.probabilities else ""
        for kind in KINDS
    ]
    score = f"{verdict.score:.6f}"
    return [path_text(path), OK, verdict.verdict, verdict.kind, score, *spread, *shares, ""]
