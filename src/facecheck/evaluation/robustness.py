"""benchmark-model: how robust a checkpoint is, for real and for artificial images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from facecheck.core.errors import FacecheckError, ImageError, reason
from facecheck.core.files import path_text, refuse_to_overwrite, write_json
from facecheck.core.image import decode
from facecheck.core.labels import KINDS, Kind, Verdict
from facecheck.core.manifest import Manifest
from facecheck.core.parallel import Progress, cpu_count, map_ordered, silent
from facecheck.core.record import Record
from facecheck.core.tables import write_table
from facecheck.core.workspace import find_checkpoint, find_manifest
from facecheck.engines.load import load_predictor
from facecheck.evaluation.options import BenchmarkOptions
from facecheck.model.metrics import wilson
from facecheck.model.outputs import split_records
from facecheck.model.perturb import (
    CLEAN,
    LINES,
    PERTURBATIONS,
    SIDES,
    FileFormat,
    reals_format,
    save_as_a_real,
    shrunk,
)
from facecheck.model.predict import Predictor
from facecheck.model.transforms import Transform, load_input

#: The files of a benchmark in its folder.
RESULT, TABLE = "benchmark.json", "benchmark.csv"
_AS_A_REAL = "as a real"


@dataclass(frozen=True)
class Share:
    """How many of some images are on the right side.

    Attributes:
        count: images.
        right: share whose score is on the right side of the threshold, 0 to 1, whether the verdict
            says so or abstains.
        interval: 95 % Wilson interval of ``right``; of a line, with each image counted once.
        uncertain: share whose verdict is ``uncertain``.
    """

    count: int
    right: float
    interval: tuple[float, float]
    uncertain: float


@dataclass(frozen=True)
class Case:
    """Real and artificial images under one change, or under all the changes of a line.

    Attributes:
        name: of the perturbation, line or face size.
        photo: the photographs; None without any.
        artificial: all others; None without any.
        accuracy: the mean ``right`` of the two, or the one there is.
    """

    name: str
    photo: Share | None
    artificial: Share | None
    accuracy: float


@dataclass(frozen=True)
class SourceCase:
    """One source under one change, or under all the changes of a line."""

    name: str
    kind: str
    source: str
    share: Share


@dataclass(frozen=True)
class FormatTest:
    """One artificial kind, as it is and stored exactly as the real photos are.

    Attributes:
        kind: which.
        as_it_is: recall from the files themselves.
        as_a_real: recall from the same images in the reals' format.
        lost: the difference of both recalls, above 0 where the format gave artificial faces away.
    """

    kind: str
    as_it_is: Share
    as_a_real: Share
    lost: float


@dataclass(frozen=True)
class BenchmarkResult:
    """What a checkpoint is worth once images have been through something.

    Attributes:
        checkpoint: the file.
        manifest: the manifest.
        split: which split of it.
        threshold: the score from which a face counts as artificial here: the middle of the
            checkpoint's two thresholds.
        images: images tested.
        cases: the files as they are, then each perturbation.
        lines: clean, web and hard: the perturbations of each taken together.
        clean_to_hard: accuracy of the clean line less that of the hard one.
        format_test: each artificial kind; empty without photos to learn the format from.
        sizes: by the short side in pixels, of the images that have as many.
        by_source: every source in every case and line.
        errors: (path, reason) of files that could not be decoded; they count nowhere.
        folder: where the result was written, if asked for.
    """

    checkpoint: Path
    manifest: Path
    split: str
    threshold: float
    images: int
    cases: tuple[Case, ...]
    lines: tuple[Case, ...]
    clean_to_hard: float
    format_test: tuple[FormatTest, ...]
    sizes: tuple[Case, ...]
    by_source: tuple[SourceCase, ...]
    errors: tuple[tuple[str, str], ...]
    folder: Path | None


def benchmark_model(
    checkpoint: Path | str | None = None,
    manifest: Path | str | None = None,
    options: BenchmarkOptions = BenchmarkOptions(),
    *,
    progress: Progress = silent,
) -> BenchmarkResult:
    """Test a checkpoint on degraded, resized and re-encoded images of one split.

    Each image is decoded once, changed by threads while the model runs, and classified with all its
    changes in one batch; memory holds a few images.

    Args:
        checkpoint: a checkpoint by ``train``, or its ONNX export.
        manifest: a manifest by ``split``.
        options: which images, and the folder to write ``benchmark.json`` and ``benchmark.csv``
            (every source in every case) to.
        progress: called with images done and images in all.

    Raises:
        UsageError: a file is not there, or there is an earlier benchmark in ``out``.
        CheckpointError: the checkpoint cannot be used.
        ManifestError: the manifest cannot be read.
        FacecheckError: the split has no images, or not one of its files can be read.
    """
    checkpoint, manifest = find_checkpoint(checkpoint), find_manifest(manifest)
    out = options.out
    if out is not None:
        for name in (RESULT, TABLE):
            refuse_to_overwrite(out / name, overwrite=options.overwrite)
    records = split_records(manifest, options.split, options.sources).sampled(options.per_source)
    predictor = load_predictor(checkpoint, options.device)
    threshold = sum(predictor.header.thresholds) / 2
    answers, errors = _answers(predictor, records, options.workers or cpu_count(), progress)
    if not answers.height:
        raise FacecheckError(f"not one of {len(records):,} images could be read: {errors[0]}")
    answers = answers.with_columns(
        right=(pl.col("score") >= threshold) == (pl.col("kind") != Kind.PHOTO),
        photo=pl.col("kind") == Kind.PHOTO,
    )
    lines = [_case(name, answers, names) for name, names in LINES.items()]
    sides = [f"{side} px" for side in SIDES]
    result = BenchmarkResult(
        checkpoint=checkpoint,
        manifest=manifest,
        split=options.split,
        threshold=threshold,
        images=answers["path"].n_unique(),
        cases=tuple(_case(name, answers, [name]) for name in (CLEAN, *PERTURBATIONS)),
        lines=tuple(lines),
        clean_to_hard=lines[0].accuracy - lines[-1].accuracy,
        format_test=tuple(_format_tests(answers)),
        sizes=tuple(_case(name, answers, [name]) for name in sides if name in set(answers["case"])),
        by_source=tuple(_by_source(answers, sides)),
        errors=tuple(errors),
        folder=out,
    )
    if out is not None:
        write_json(out / RESULT, asdict(result))
        write_table(_table(result), out / TABLE)
    return result


def _answers(
    predictor: Predictor, records: Manifest, workers: int, progress: Progress
) -> tuple[pl.DataFrame, list[tuple[str, str]]]:
    """Return a row for every image in every case: path, source, kind, case, score, verdict."""
    photos = records.where(pl.col("kind") == Kind.PHOTO).paths()
    reals = reals_format(photos, workers=workers)
    transform = predictor.header.transform
    changed = map_ordered(
        lambda record: _changed(record, reals, transform),
        records.records(),
        workers=workers,
        ahead=2 * workers,
    )
    rows, errors = [], []
    for number, (record, inputs) in enumerate(zip(records.records(), changed, strict=True), 1):
        if isinstance(inputs, str):
            errors.append((path_text(Path(record.path)), inputs))
        else:
            answers = predictor.predictions(np.stack(list(inputs.values())))
            for case, answer in zip(inputs, answers, strict=True):
                found = (case, answer.score, answer.verdict)
                rows.append((record.path, record.source, record.kind, *found))
        progress(number, len(records))
    columns = {
        **dict.fromkeys(("path", "source", "kind", "case"), pl.String),
        "score": pl.Float64,
        "verdict": pl.String,
    }
    return pl.DataFrame(rows, schema=columns, orient="row"), errors


def _changed(
    record: Record, reals: Sequence[FileFormat], transform: Transform
) -> dict[str, npt.NDArray[np.uint8]] | str:
    """Return a model's input for every case of an image, or why it cannot be read."""
    try:
        data = Path(record.path).read_bytes()
        return {
            name: load_input(changed, transform)
            for name, changed in _files(data, record.kind, reals)
        }
    except (ImageError, OSError) as error:
        return reason(error)


def _files(data: bytes, kind: str, reals: Sequence[FileFormat]) -> Iterator[tuple[str, bytes]]:
    image = decode(data).image
    yield CLEAN, data
    for name, perturb in PERTURBATIONS.items():
        yield name, perturb(image)
    for side in SIDES:
        small = shrunk(image, side)
        if small is not None:
            yield f"{side} px", small
    if kind != Kind.PHOTO and reals:
        yield _AS_A_REAL, save_as_a_real(image, reals, data)


def _case(name: str, answers: pl.DataFrame, cases: Sequence[str]) -> Case:
    rows = answers.filter(pl.col("case").is_in(cases))
    photo = _share(rows.filter("photo"))
    artificial = _share(rows.filter(~pl.col("photo")))
    sides = [share.right for share in (photo, artificial) if share]
    return Case(name, photo, artificial, float(np.mean(sides)))


def _share(rows: pl.DataFrame) -> Share | None:
    """Summarise the answers for some images in one case or more, each image in all of them."""
    if not rows.height:
        return None
    count = rows["path"].n_unique()
    right = float(rows["right"].sum()) / rows.height
    return Share(
        count=count,
        right=right,
        # The answers for one image are no independent trials.
        interval=wilson(round(right * count), count),
        uncertain=float((rows["verdict"] == Verdict.UNCERTAIN).sum()) / rows.height,
    )


def _format_tests(answers: pl.DataFrame) -> Iterator[FormatTest]:
    for kind in KINDS:
        rows = answers.filter(pl.col("kind") == kind)
        before = _share(rows.filter(pl.col("case") == CLEAN))
        after = _share(rows.filter(pl.col("case") == _AS_A_REAL))
        if before and after:
            yield FormatTest(kind, before, after, before.right - after.right)


def _by_source(answers: pl.DataFrame, sides: Sequence[str]) -> Iterator[SourceCase]:
    single = {name: (name,) for name in (*PERTURBATIONS, *sides, _AS_A_REAL)}
    sources = answers.select("kind", "source").unique().rows()
    for kind, source in sorted(sources, key=lambda pair: (KINDS.index(pair[0]), pair[1])):
        rows = answers.filter(pl.col("kind") == kind, pl.col("source") == source)
        for name, cases in {**LINES, **single}.items():
            share = _share(rows.filter(pl.col("case").is_in(cases)))
            if share:
                yield SourceCase(name, kind, source, share)


def _table(result: BenchmarkResult) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "case": row.name,
                "kind": row.kind,
                "source": row.source,
                "images": row.share.count,
                "right": row.share.right,
                "low": row.share.interval[0],
                "high": row.share.interval[1],
                "uncertain": row.share.uncertain,
            }
            for row in result.by_source
        ]
    )
