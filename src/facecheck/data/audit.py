"""audit: how far the kind can be guessed without looking at the face."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from facecheck.core.errors import FacecheckError, ImageError, UsageError, reason
from facecheck.core.files import (
    path_text,
    refuse_to_overwrite,
    sha256_file,
    write_json,
    write_text,
)
from facecheck.core.jsonable import parse_json
from facecheck.core.labels import KINDS, Kind
from facecheck.core.lock import only_one
from facecheck.core.manifest import input_meta, read_manifest
from facecheck.core.parallel import Progress, cpu_count, map_ordered, silent
from facecheck.core.workspace import find_manifest
from facecheck.core.yaml_files import dump_yaml
from facecheck.data.duplicates.groups import components, duplicates_of
from facecheck.data.features import (
    METADATA,
    NAMED_PIXELS,
    PIXELS,
    PROVENANCE,
    Features,
    read_features,
    wording,
)
from facecheck.data.options import AuditOptions, Normalise
from facecheck.data.split import assign

if TYPE_CHECKING:
    from sklearn.ensemble import ExtraTreesClassifier

#: A side of a question with fewer images than this is not asked about.
MIN_IMAGES = 20
#: The questions that are asked of all images together.
_OF_ALL = ("kind", "real or artificial")
_FOLDS = 5
_TREES = 50


@dataclass(frozen=True)
class Guess:
    """How well one question is answered from one set of features.

    Attributes:
        question: what is distinguished: ``kind``, ``real or artificial``, or two sources.
        features: ``metadata``, ``pixels`` or, of all images together, ``provenance``.
        images: how many images it was asked of.
        sides: how many answers there are; chance is a balanced accuracy of 1 / sides.
        balanced_accuracy: mean share of each side guessed right, 0 to 1, each image by a model
            that saw neither it nor its group.
        auc: area under the ROC curve, 0 to 1, mean over sides; chance is 0.5.
        shortcut: the one feature that says most by itself, in words.
        shortcut_accuracy: balanced accuracy of that feature alone, on the images it was chosen on.
        by_source: share guessed right of each ``kind/source``.
    """

    question: str
    features: str
    images: int
    sides: int
    balanced_accuracy: float
    auc: float
    shortcut: str
    shortcut_accuracy: float
    by_source: Mapping[str, float]


@dataclass(frozen=True)
class AuditResult:
    """What ``audit`` found.

    Attributes:
        manifest: the manifest that was audited.
        report: the JSON file next to it that holds this result.
        images: images measured.
        by_source: images measured by (kind, source).
        errors: files that could not be read, and why.
        warn_above: the balanced accuracy above which a guess is a warning.
        guesses: every question from each of the two sets of features.
        warnings: the guesses above the level, in words, the strongest single feature first.
        recipe: where the normalisation settings were written, or None.
        normalised: the guesses again, on normalised images; empty without.
    """

    manifest: Path
    report: Path
    images: int
    by_source: Mapping[tuple[str, str], int]
    errors: tuple[tuple[str, str], ...]
    warn_above: float
    guesses: tuple[Guess, ...]
    warnings: tuple[str, ...]
    recipe: Path | None
    normalised: tuple[Guess, ...]


def audit(
    manifest: Path | str | None = None,
    options: AuditOptions = AuditOptions(),
    *,
    progress: Progress = silent,
) -> AuditResult:
    """Measure how far kind and source can be guessed from headers, crude pixels and provenance.

    Asked are the kind, real or artificial, and each source of photographs against each artificial
    one. A small forest of extremely randomised trees (Geurts et al. 2006) answers, tested by
    cross-validation in five folds that keep groups whole. The result depends on the records and
    the seed, not on the order of the file.

    Args:
        manifest: a manifest; excluded records take no part.
        options: how many images, when to warn, and whether to write a recipe.
        progress: called with images done and in all.

    Raises:
        UsageError: the manifest is not there, or ``out`` exists.
        ManifestError: the manifest cannot be read.
        FacecheckError: there are not two sides of enough images, or another process audits the
            manifest.
    """
    manifest = find_manifest(manifest)
    import sklearn  # noqa: F401 - to miss it before the measuring, not after

    with only_one(_report(manifest), "audit"):
        return _audit(manifest, options, progress)


def _audit(manifest: Path, options: AuditOptions, progress: Progress) -> AuditResult:
    fix, recipe = options.fix, None
    if fix is not None:
        recipe = options.out or manifest.with_name(f"{manifest.stem}.normalise.yaml")
        refuse_to_overwrite(recipe, overwrite=options.overwrite)
    frame = (
        read_manifest(manifest).where(pl.col("excluded") == "").sampled(options.per_source).frame
    )
    folds = group_folds(frame, duplicates_of(manifest)[1], options.seed)
    workers = options.workers or cpu_count()
    read, errors = _read(frame["path"].to_list(), fix, workers, progress)
    asked = _Asked(
        kinds=frame["kind"].to_numpy()[list(read)],
        sources=(frame["kind"] + "/" + frame["source"]).to_numpy()[list(read)],
        folds=folds[list(read)],
        seed=options.seed,
    )
    guesses = tuple(asked.guesses([as_it_is for as_it_is, _ in read.values()]))
    if not guesses:
        raise FacecheckError(
            f"{path_text(manifest)}: nothing to distinguish: an audit needs {MIN_IMAGES} images "
            f"each of {Kind.PHOTO} and of another kind"
        )
    normalised = tuple(asked.guesses([after for _, after in read.values() if after is not None]))
    result = AuditResult(
        manifest=manifest,
        report=_report(manifest),
        images=len(read),
        by_source=Counter(zip(asked.kinds, frame["source"].to_numpy()[list(read)], strict=True)),
        errors=tuple(errors),
        warn_above=options.warn_above,
        guesses=guesses,
        warnings=tuple(_warnings(guesses, options.warn_above)),
        recipe=recipe,
        normalised=normalised,
    )
    if fix is not None and recipe is not None:
        write_text(recipe, normalise_yaml(fix))
    write_json(result.report, {"input": input_meta(manifest), **_plain(result)})
    return result


def metadata_shares(
    manifest: Path, question: str, *, report: Path | None = None, workers: int | None = None
) -> dict[tuple[str, str], float]:
    """Return the share of each (kind, source) that metadata alone answers a question right for.

    From the manifest's ``.audit.json``; where that is missing or of an older manifest, ``audit``
    makes it first. A question that had too few images to be asked gives nothing.

    Args:
        manifest: a manifest.
        question: ``kind`` or ``real or artificial``.
        report: the audit to read; None for the manifest's own.
        workers: as in :func:`audit`.

    Raises:
        UsageError: ``report`` is named, and is no audit of this manifest.
        FacecheckError: as :func:`audit`.
    """
    saved = _saved_guesses(manifest, report or _report(manifest))
    if saved is None and report is not None:
        raise UsageError(
            f"{path_text(report)}: not an audit of {path_text(manifest)} as it is now: run "
            "`facecheck audit` on it"
        )
    guesses = (
        asdict(audit(manifest, AuditOptions(workers=workers)))["guesses"]
        if saved is None
        else saved
    )
    for guess in guesses:
        if (guess["question"], guess["features"]) == (question, "metadata"):
            parted = {tuple(name.split("/", 1)): part for name, part in guess["by_source"].items()}
            return {(kind, source): part for (kind, source), part in parted.items()}
    return {}


def _saved_guesses(manifest: Path, report: Path) -> list[dict[str, Any]] | None:
    """Return the guesses of a saved report, or None where it is not of this manifest."""
    try:
        saved = parse_json(report.read_text(encoding="utf-8"))
        current = saved["input"]["sha256"] == sha256_file(manifest)
        guesses: list[dict[str, Any]] = saved["guesses"]
        return guesses if current and all("by_source" in guess for guess in guesses) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _report(manifest: Path) -> Path:
    return manifest.with_name(f"{manifest.stem}.audit.json")


def group_folds(frame: pl.DataFrame, pairs: pl.DataFrame, seed: int) -> npt.NDArray[np.int64]:
    """Return the fold of every record, 0 to 4: groups whole, kinds and sources in proportion.

    Args:
        frame: n records.
        pairs: duplicates that stay together, as of
            :func:`~facecheck.data.duplicates.groups.duplicates_of`.
        seed: decides which of several like groups goes where.
    """
    bound = frame.with_columns(component=components(frame, pairs))
    shares = {str(fold): 1 / _FOLDS for fold in range(_FOLDS)}
    return assign(bound, ("kind", "source"), shares, seed).cast(pl.Int64).to_numpy()


def _read(
    paths: Sequence[str], fix: Normalise | None, workers: int, progress: Progress
) -> tuple[dict[int, tuple[Features, Features | None]], list[tuple[str, str]]]:
    """Return the features of each readable file, by position, and the errors of the rest."""

    def measured(path: str) -> tuple[Features, Features | None] | str:
        try:
            return read_features(Path(path), fix)
        except (ImageError, OSError) as error:
            return reason(error)

    read, errors = {}, []
    for position, found in enumerate(map_ordered(measured, paths, workers=workers)):
        if isinstance(found, str):
            errors.append((path_text(Path(paths[position])), found))
        else:
            read[position] = found
        progress(position + 1, len(paths))
    return read, errors


@dataclass(frozen=True)
class _Asked:
    """The images asked about: shape (n,) each, and the seed of the forests."""

    kinds: npt.NDArray[Any]
    sources: npt.NDArray[Any]
    folds: npt.NDArray[np.int64]
    seed: int

    def questions(self) -> Iterator[tuple[str, npt.NDArray[Any], npt.NDArray[np.bool_]]]:
        """Yield each question, the answer of every image, and which images it is asked of."""
        real = self.kinds == Kind.PHOTO
        yield "kind", self.kinds, np.ones(len(self.kinds), dtype=bool)
        sides = np.where(real, "real", "artificial")
        yield "real or artificial", sides, np.ones(len(self.kinds), dtype=bool)
        for photo in sorted(set(self.sources[real])):
            for other in sorted(set(self.sources[~real]), key=_by_kind):
                asked = (self.sources == photo) | (self.sources == other)
                yield f"{photo} or {other}", self.sources, asked

    def guesses(self, read: Sequence[Features]) -> Iterator[Guess]:
        """Yield the guess at every question that has two sides of enough images."""
        if not read:
            return
        tables = {
            "metadata": (METADATA, np.stack([one.metadata for one in read])),
            "pixels": (PIXELS, np.stack([one.pixels for one in read])),
            "provenance": (PROVENANCE, np.stack([one.provenance for one in read])),
        }
        for question, answers, asked in self.questions():
            names, counts = np.unique(answers[asked], return_counts=True)
            enough = names[counts >= MIN_IMAGES]
            taken = asked & np.isin(answers, enough)
            if len(enough) < 2:
                continue
            for features, (columns, table) in tables.items():
                if features == "provenance" and question not in _OF_ALL:
                    continue
                values, sides = table[taken], answers[taken]
                guessed, auc = _cross_validated(values, sides, self.folds[taken], self.seed)
                right = guessed == sides
                sources = self.sources[taken]
                single, single_accuracy = shortcut(columns, values, sides)
                yield Guess(
                    *(question, features, int(taken.sum()), len(enough)),
                    *(round(_balanced(right, sides), 4), round(auc, 4)),
                    *(single, round(single_accuracy, 4)),
                    by_source={
                        str(name): round(float(right[sources == name].mean()), 4)
                        for name in np.unique(sources)
                    },
                )


def _by_kind(source: str) -> tuple[int, str]:
    return KINDS.index(source.split("/", maxsplit=1)[0]), source


def _cross_validated(
    values: npt.NDArray[np.float32],
    sides: npt.NDArray[Any],
    folds: npt.NDArray[np.int64],
    seed: int,
) -> tuple[npt.NDArray[Any], float]:
    """Return the guesses at images that the guesser never saw, and their AUC."""
    from sklearn.metrics import roc_auc_score

    names = np.unique(sides)
    probabilities = np.zeros((len(sides), len(names)))
    for fold in np.unique(folds):
        unseen = folds == fold
        forest = _forest(seed).fit(values[~unseen], sides[~unseen])
        known = np.searchsorted(names, forest.classes_)
        probabilities[np.ix_(unseen, known)] = forest.predict_proba(values[unseen])
    if len(names) == 2:
        auc = roc_auc_score(sides == names[1], probabilities[:, 1])
    else:
        auc = roc_auc_score(sides, probabilities, multi_class="ovr", labels=names)
    return names[probabilities.argmax(axis=1)], float(auc)


def _balanced(right: npt.NDArray[np.bool_], sides: npt.NDArray[Any]) -> float:
    return float(np.mean([right[sides == name].mean() for name in np.unique(sides)]))


def _forest(seed: int) -> ExtraTreesClassifier:
    from sklearn.ensemble import ExtraTreesClassifier

    return ExtraTreesClassifier(
        n_estimators=_TREES, min_samples_leaf=3, class_weight="balanced", random_state=seed
    )


def shortcut(
    columns: Sequence[str], values: npt.NDArray[np.float32], sides: npt.NDArray[Any]
) -> tuple[str, float]:
    """Return the one feature that separates the sides best, in words, and its balanced accuracy.

    Each feature is tried in a tree of one split, weighted so that every side counts alike; of
    equals the first in order is taken. The cells of the thumbnail have no names and are skipped.

    Args:
        columns: names of the k features.
        values: shape (n, k).
        sides: shape (n,), two names or more.
    """
    from sklearn.tree import DecisionTreeClassifier

    names, numbers, counts = np.unique(sides, return_inverse=True, return_counts=True)
    said, best = "no single feature does", 1 / len(names)
    for position, feature in enumerate(columns):
        if feature in PIXELS and feature not in NAMED_PIXELS:
            continue
        stump = DecisionTreeClassifier(max_depth=1, class_weight="balanced", random_state=0)
        stump.fit(values[:, [position]], numbers)
        right = stump.predict(values[:, [position]]) == numbers
        accuracy = float((np.bincount(numbers[right], minlength=len(names)) / counts).mean())
        if accuracy > best + 1e-9 and stump.tree_.node_count > 1:
            threshold = float(stump.tree_.threshold[0])
            below = values[:, position] <= threshold
            shares = np.bincount(numbers[below], minlength=len(names)) / counts
            said = wording(feature, threshold, list(zip(map(str, names), shares, strict=True)))
            best = accuracy
    return said, best


def _warnings(guesses: Sequence[Guess], level: float) -> Iterator[str]:
    above = [guess for guess in guesses if guess.balanced_accuracy > level]
    for guess in sorted(above, key=lambda guess: -guess.shortcut_accuracy):
        yield (
            f"{guess.question}: {100 * guess.balanced_accuracy:.1f} % from {guess.features}; "
            f"{100 * guess.shortcut_accuracy:.1f} % from {guess.shortcut}"
        )


def normalise_yaml(settings: Normalise) -> str:
    """Return normalisation settings as a recipe: what ``audit --fix normalise`` writes."""
    stored = {
        "image_size": settings.size,
        "reencode": 1.0,
        "reencode_formats": list(settings.formats),
        "reencode_quality": list(settings.quality),
        "blur": 1.0,
        # A recipe counts in pixels of 224, whatever its size.
        "blur_sigma": [round(sigma * 224 / settings.size, 3) for sigma in settings.blur],
    }
    head = (
        "# Take away what distinguishes images but is not in the face: every training image, real\n"
        "# or not, is cut to one size, blurred and encoded again at random. Train with it by\n"
        "# facecheck train --recipe THIS-FILE\n"
    )
    return head + dump_yaml(stored, lists_in_one_line=True)


def _plain(result: AuditResult) -> dict[str, Any]:
    return asdict(result) | {
        "by_source": {"/".join(key): count for key, count in result.by_source.items()}
    }
