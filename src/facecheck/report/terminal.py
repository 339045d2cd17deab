"""Results as tables for a terminal. Each function turns one job's result into one renderable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.filesize import decimal
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from facecheck.core.files import path_text
from facecheck.core.labels import Status, Verdict
from facecheck.core.workspace import BUILTIN

if TYPE_CHECKING:
    from facecheck.data.audit import AuditResult, Guess
    from facecheck.data.duplicates.dedup import DedupResult
    from facecheck.data.duplicates.explain import Explanation
    from facecheck.data.index import IndexResult
    from facecheck.data.interchange import ConvertResult
    from facecheck.data.leaks import CheckResult, Proof
    from facecheck.data.sources.fetch import Fetched, FetchResult, Listed, Listing
    from facecheck.data.split import SplitResult
    from facecheck.engines.export import ExportResult
    from facecheck.evaluation.calibrate import CalibrateResult, ErrorRate
    from facecheck.evaluation.evaluate import EvaluateResult
    from facecheck.evaluation.leave_one_out import LeaveOneOutResult
    from facecheck.evaluation.robustness import BenchmarkResult, Case, Share
    from facecheck.evaluation.studies.study import StudyResult
    from facecheck.generator.quality import Distance, GenerateQualityResult
    from facecheck.generator.sample import GenerateSampleResult
    from facecheck.generator.state import Row
    from facecheck.generator.train import GenerateTrainResult
    from facecheck.model.metrics import Calibration, Figure, Ranking, Summary
    from facecheck.report.curation_report import CurationReport
    from facecheck.report.explain import ExplainedFace, ExplainResult
    from facecheck.report.run_report import RunReport
    from facecheck.report.scan_report import ScanReport
    from facecheck.scanner.job import ScanResult
    from facecheck.scanner.results.merge import MergeResult
    from facecheck.scanner.results.place import PlaceResult
    from facecheck.training.lr_find import LrFindResult
    from facecheck.training.state import Epoch
    from facecheck.training.train import TrainResult

_TEXT_COLUMNS = frozenset(
    (
        *("kind", "source", "reason", "verdict", "status", "true \\ predicted"),
        *("other source", "kinds in conflict", "measure"),
        *("platform", "kinds", "licence", "where", "files", "group", "excluded"),
        *("question", "figure", "split", "file", "in", "belongs with", "which is in", "variant"),
        *("change", "line", "left out", "model"),
    )
)


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in _TEXT_COLUMNS else "right")
    return table


def _line(text: str, style: str = "") -> Text:
    # Text, never markup: a path may hold square brackets.
    return Text(text, style=style, overflow="fold")


def _counts(heading: str, counts: Mapping[str, int]) -> Table:
    table = _table(heading, "count")
    for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(Text(name), f"{count:,}")
    return table


def percent(share: float | None) -> str:
    """Return a share from 0 to 1 as text such as ``93.42 %``, or a dash for None."""
    return "-" if share is None else f"{100 * share:.2f} %"


def render_index(result: IndexResult) -> RenderableType:
    """Render counts by kind and source, and the reasons of rejects."""
    table = _table("kind", "source", "images")
    for (kind, source), count in result.by_source.items():
        table.add_row(kind, Text(source), f"{count:,}")
    parts: list[RenderableType] = [
        table,
        _line(
            f"{result.records:,} images in {result.manifest}; {result.rejected:,} rejected "
            f"({result.rejects}); {result.ignored:,} other files passed over"
        ),
    ]
    if result.bad_lines:
        parts.append(_line(f"{result.bad_lines:,} damaged lines of the journal were dropped"))
    if result.reasons:
        parts.append(_counts("reason", result.reasons))
    return Group(*parts)


def render_dedup(result: DedupResult) -> RenderableType:
    """Render what was excluded and why, which sources share pictures, and what is in conflict."""
    dropped = sum(result.dropped.values())
    parts: list[RenderableType] = []
    if result.dropped:
        parts.append(_counts("reason", result.dropped))
    if result.by_sources:
        table = _table("source", "other source", "pairs")
        for (source, other), pairs in result.by_sources.items():
            table.add_row(Text(source), Text(other), f"{pairs:,}")
        parts.append(table)
    if result.by_kinds:
        parts.append(_counts("kinds in conflict", result.by_kinds))
    parts.append(
        _line(
            f"{result.records:,} records: {dropped:,} excluded as duplicates, {result.conflicts:,} "
            f"set aside as label conflicts ({result.duplicates}); {result.groups:,} groups left "
            f"in {result.manifest}"
        )
    )
    if result.applied:
        done = result.applied
        parts.append(
            _line(
                f"{done.placed:,} files placed by {done.how} in {done.to}, {done.already:,} were "
                f"there; {done.left_out:,} excluded records left out; in {done.manifest}"
            )
        )
    return Group(*parts)


def render_explain(result: Explanation) -> RenderableType:
    """Render the decision, its reasons, and the measures behind it."""
    verdict = "duplicates" if result.duplicates else "not duplicates"
    table = _table("measure", "whole", "aligned")
    nearest = f"{result.edited_distance} ({result.edited_view})"
    table.add_row("hash distance, bits", str(result.distance), nearest)
    for name in ("correlation", "detail"):
        measures = (getattr(alike, name) for alike in (result.whole, result.aligned))
        table.add_row(name, *(f"{measure:.4f}" for measure in measures))
    table.add_row("colour difference", f"{result.whole.difference:.2f}", "-")
    return Group(
        _line(f"{verdict} at level {result.level}, radius {result.radius}", "bold"),
        *(_line(f"  {reason}") for reason in result.why),
        table,
    )


def render_fetch(result: FetchResult) -> RenderableType:
    """Render what became of each source, then the index and deduplication of all."""
    parts: list[RenderableType] = [
        line for fetched in result.sources for line in _fetched_lines(fetched, result.root)
    ]
    if result.indexed:
        parts.append(render_index(result.indexed))
    if result.deduplicated:
        parts.append(render_dedup(result.deduplicated))
    return Group(*parts)


def _fetched_lines(fetched: Fetched, root: Path) -> list[Text]:
    marker = fetched.marker
    size = f"{marker.files:,} files, {marker.bytes:,} bytes"
    lines = [_line(f"{fetched.name}: {fetched.status}: {size}, in {root}")]
    told = list(fetched.notes)
    if fetched.left_out:
        told.append(f"{fetched.left_out:,} files of it are not images that its rules place")
    if fetched.renamed:
        told.append(f"{fetched.renamed:,} names in its archives could not be kept, see .facecheck")
    told += [f"archive kept: {archive}" for archive in fetched.archives]
    return lines + [_line(f"  {note}", "yellow") for note in told]


def render_sources(listing: Listing) -> RenderableType:
    """Render the catalogue, one row a source."""
    table = _table("source", "platform", "kinds", "images", "size", "licence", "status")
    for row in listing.sources:
        source = row.source
        table.add_row(
            Text(source.name),
            source.platform,
            Text(", ".join(source.kinds)),
            "?" if source.images is None else f"{source.images:,}",
            _size(source.bytes),
            Text(source.licence),
            Text(_status(row)),
        )
    return Group(
        table,
        _line(
            "not verified: nobody has fetched it yet with this entry, so "
            "its handle or layout may be wrong. `facecheck sources NAME` tells more."
        ),
    )


def _status(row: Listed) -> str:
    words = ["default"] if row.source.default else []
    words += ["fetched"] if row.fetched else []
    words.append("verified" if row.source.verified else "not verified")
    return ", ".join(words)


def _size(count: int | None) -> str:
    return "?" if count is None else decimal(count)


def render_source_details(listing: Listing) -> RenderableType:
    """Render all that the catalogue holds of some sources."""
    parts: list[RenderableType] = []
    for row in listing.sources:
        source = row.source
        table = Table(box=None, pad_edge=False, show_header=False)
        facts = {
            "title": source.title,
            "platform": source.platform,
            "where": row.where,
            "size": _size(source.bytes),
            "images": "?" if source.images is None else f"{source.images:,}",
            "kinds": ", ".join(source.kinds),
            "licence": source.licence,
            "terms": source.terms,
            "citation": source.citation,
            "sha256": ", ".join(source.sha256),
            "how to get it": source.instructions,
            "note": source.note,
            "status": _status(row),
        }
        for name, value in facts.items():
            if value:
                table.add_row(Text(name, "bold"), Text(value, overflow="fold"))
        rules = _table("files", "kind", "group", "excluded")
        for rule in source.rules:
            cells = (rule.files, rule.kind or "-", rule.group, rule.exclude)
            rules.add_row(*(Text(cell) for cell in cells))
        parts += [_line(source.name, "bold"), table, rules]
    return Group(*parts)


def render_plan(listing: Listing) -> RenderableType:
    """Render what a fetch would bring: from where, how much, how long, on what terms."""
    table = _table("source", "where", "size", "time", "licence", "status")
    for row in listing.sources:
        minutes = None if row.seconds is None else max(1, round(row.seconds / 60))
        table.add_row(
            Text(row.source.name),
            Text(row.where, overflow="fold"),
            _size(row.source.bytes),
            "?" if minutes is None else f"{minutes} min",
            Text(row.source.licence),
            Text(_status(row)),
        )
    unknown = f" and {listing.unknown} of unknown size" if listing.unknown else ""
    return Group(
        table,
        _line(
            f"to download: about {_size(listing.bytes)}{unknown}; {_size(listing.free)} are free; "
            "times are for 50 Mbit/s; nothing was fetched"
        ),
    )


def render_split(result: SplitResult) -> RenderableType:
    """Render counts and real shares, by source and overall, and the proof that nothing leaks."""
    from facecheck.core.manifest import SPLITS  # slow, and in the way of a scan's first row

    parts = tuple(result.counts)
    # Many folds, all alike: their shares would not fit beside their counts.
    shares = parts if len(parts) <= len(SPLITS) else ()
    table = _table("kind", "source", *parts, *(f"{name} %" for name in shares))
    for (kind, source), counts in result.by_source.items():
        table.add_row(kind, Text(source), *_split_cells(counts, parts, shares))
    table.add_section()
    table.add_row("all", "", *_split_cells(result.counts, parts, shares), style="bold")
    kept = f"{result.kept:,} kept their {result.column}; " if result.kept else ""
    return Group(
        table,
        _line(
            f"{result.groups:,} groups; {kept}{result.excluded:,} records left out; "
            f"column {result.column} in {result.manifest}"
        ),
        _proof(result.proof),
    )


def _split_cells(
    counts: Mapping[str, int], parts: tuple[str, ...], shares: tuple[str, ...]
) -> list[str]:
    total = max(1, sum(counts.values()))
    numbers = [f"{counts[name]:,}" for name in parts]
    return numbers + [f"{100 * counts[name] / total:.2f}" for name in shares]


#: How many leaks a terminal shows; ``--json`` gives all.
_SHOWN_LEAKS = 20


def _proof(proof: Proof) -> RenderableType:
    looked = ", ".join(f"{count:,} {why}" for why, count in proof.checked.items())
    head = f"{proof.column}: {proof.records:,} records; sets of records checked: {looked}"
    if proof.holds:
        return _line(f"{head}; none crosses", "green")
    table = _table("file", "in", "belongs with", "which is in", "reason")
    for leak in proof.leaks[:_SHOWN_LEAKS]:
        table.add_row(*map(Text, (leak.path, leak.part, leak.other, leak.other_part, leak.why)))
    more = len(proof.leaks) - _SHOWN_LEAKS
    return Group(
        _line(f"{head}; {len(proof.leaks):,} records leak", "bold red"),
        table,
        _line(f"… and {more:,} more (--json gives all)" if more > 0 else ""),
    )


def render_check(result: CheckResult) -> RenderableType:
    """Render the proof of somebody's split, or the leaks found."""
    near = {
        "files": "near duplicates: every file was opened and compared",
        "not checked": "near duplicates: not checked, for want of a duplicates table "
        "(`facecheck dedup` makes it)",
    }.get(result.near, f"near duplicates: as in {result.near}")
    parts: list[RenderableType] = [_proof(proof) for proof in result.proofs]
    parts.append(_line(near))
    if result.rejected:
        parts.append(_line(f"{result.rejected:,} files could not be read", "yellow"))
    return Group(*parts)


def render_convert(result: ConvertResult) -> RenderableType:
    """Render how many images went where."""
    table = _table("split", "images")
    for split, count in result.by_split.items():
        table.add_row(split or "(none)", f"{count:,}")
    parts: list[RenderableType] = [table]
    if result.errors:
        parts.append(_counts("reason", _tally_errors(result.errors)))
    left_out = f"; {result.left_out:,} records left out" if result.left_out else ""
    parts.append(_line(f"{result.records:,} images in {result.target} ({result.layout}){left_out}"))
    return Group(*parts)


#: How many warnings a terminal lists; ``--json`` and the report give all.
_SHOWN_WARNINGS = 12


def render_audit(result: AuditResult) -> RenderableType:
    """Render how well each question is answered from each set of cues, and the shortcuts."""
    fixed = {(guess.question, guess.cues): guess for guess in result.normalised}
    after = ("metadata fixed", "pixels fixed") if fixed else ()
    table = _table("question", "images", "chance", "metadata", "AUC", "pixels", "AUC", *after)
    pairs = dict.fromkeys(guess.question for guess in result.guesses)
    found = {(guess.question, guess.cues): guess for guess in result.guesses}
    for question in pairs:
        metadata, pixels = found[question, "metadata"], found[question, "pixels"]
        cells = [Text(question), Text(f"{metadata.images:,}"), Text(f"{100 / metadata.sides:.1f}")]
        for guess in (metadata, pixels):
            cells += [_guess_cell(guess, result.warn_above), Text(f"{guess.auc:.3f}")]
        for guess in (fixed[question, name] for name in ("metadata", "pixels") if fixed):
            cells.append(_guess_cell(guess, result.warn_above))
        table.add_row(*cells)
    parts: list[RenderableType] = [
        _line("Balanced accuracy in % of guesses that never looked at the face", "bold"),
        table,
    ]
    if result.warnings:
        shown = result.warnings[:_SHOWN_WARNINGS]
        head = (
            f"{len(result.warnings)} guesses are right above {percent(result.warn_above)}; a "
            f"classifier may learn these instead of faces. The {len(shown)} with the strongest "
            "single cue:"
        )
        parts += [_line(head, "yellow"), *(_line(f"- {told}") for told in shown)]
    else:
        parts.append(_line(f"no guess is right above {percent(result.warn_above)}", "green"))
    if result.errors:
        parts.append(_counts("reason", _tally_errors(result.errors)))
    if result.recipe:
        parts.append(
            _line(f"recipe that normalises, for `facecheck train --recipe`: {result.recipe}")
        )
    parts.append(_line(f"{result.images:,} images; report in {result.report}"))
    return Group(*parts)


def _guess_cell(guess: Guess, warn_above: float) -> Text:
    warns = guess.balanced_accuracy > warn_above
    return Text(f"{100 * guess.balanced_accuracy:.1f}", "yellow" if warns else "")


def render_benchmark(result: BenchmarkResult) -> RenderableType:
    """Render both sides under every change, the lines by source, the format test, the sizes."""
    headings = ("photos", "right", "95 % interval", "artificial", "right", "95 % interval", "both")
    changes = _table("change", *headings)
    for row in result.cases:
        changes.add_row(row.name, *_case_cells(row))
    changes.add_section()
    for row in result.lines:
        changes.add_row(row.name, *_case_cells(row), style="bold")
    changes.add_section()
    for row in result.sizes:
        changes.add_row(row.name, *_case_cells(row))
    lines = [row.name for row in result.lines]
    sources = _table("kind", "source", "images", *lines)
    shares = {(row.kind, row.source, row.name): row.share for row in result.by_source}
    for kind, source in dict.fromkeys((row.kind, row.source) for row in result.by_source):
        found = [shares[kind, source, name] for name in lines]
        cells = (percent(share.right) for share in found)
        sources.add_row(kind, Text(source), f"{found[0].count:,}", *cells)
    formats = _table("kind", "images", "recall", "as a real", "95 % interval", "lost")
    for test in result.format_test:
        low, high = test.as_a_real.interval
        formats.add_row(
            *(test.kind, f"{test.as_it_is.count:,}", percent(test.as_it_is.right)),
            *(percent(test.as_a_real.right), f"{100 * low:.1f} to {100 * high:.1f}"),
            f"{100 * test.lost:+.1f}",
        )
    parts: list[RenderableType] = [
        _line(f"{result.checkpoint} on split {result.split} of {result.manifest}", "bold"),
        changes,
        _line(
            f"clean to hard: {100 * result.clean_to_hard:.1f} points lost; a score from "
            f"{result.threshold:.3f} counts as artificial"
        ),
        sources,
    ]
    if result.format_test:
        parts += [_line("Artificial faces stored exactly as the real photos are", "bold"), formats]
    if result.errors:
        parts.append(_counts("reason", _tally_errors(result.errors)))
    where = f"; written to {result.folder}" if result.folder else ""
    parts.append(_line(f"{result.images:,} images{where}"))
    return Group(*parts)


def _case_cells(case: Case) -> list[str]:
    sides = (*_share_cells(case.photo), *_share_cells(case.artificial))
    return [*sides, percent(case.accuracy)]


def _share_cells(share: Share | None) -> list[str]:
    if share is None:
        return ["-"] * 3
    low, high = share.interval
    return [f"{share.count:,}", percent(share.right), f"{100 * low:.1f} to {100 * high:.1f}"]


def render_leave_one_out(result: LeaveOneOutResult) -> RenderableType:
    """Render each source left out: whether its kind was seen, and how it was told."""
    count = len(result.rows)
    headings = (
        *("images", "AUC", "accuracy", "at best", "gap", "wrong", "95 % interval"),
        *("uncertain", "wrong verdicts"),
    )
    table = _table("kind", "left out", "model", *headings)
    for row in result.rows:
        low, high = row.interval
        table.add_row(
            *(row.kind, Text(row.source), "never saw the kind" if row.kind_unseen else ""),
            *(f"{row.images:,}", f"{row.auc:.3f}", percent(row.accuracy)),
            *(percent(row.best_accuracy), f"{100 * row.gap:.1f}", percent(row.wrong_share)),
            f"{100 * low:.1f} to {100 * high:.1f}",
            *(percent(row.uncertain), percent(row.wrong_verdicts)),
        )
    resumed = f", {result.resumed:,} of them from an earlier run" if result.resumed else ""
    return Group(
        table,
        _line(
            "accuracy: balanced, against the other side, at the threshold that is best on the "
            "validation images of the sources left; wrong: false alarms among photos, else misses. "
            "uncertain, wrong verdicts: of the images left out, once the model is calibrated"
        ),
        *(_line(f"{name} not left out: {why}", "yellow") for name, why in result.skipped),
        _line(f"{count:,} source{'s' * (count != 1)} left out{resumed}; in {result.folder}"),
    )


EPOCH_HEADINGS = (
    *("epoch", "seconds", "images/s", "train loss", "train top-1", "train top-5"),
    *("val loss", "val top-1", "val top-5", "test top-1", "test top-5"),
)


def epoch_cells(epoch: Epoch) -> list[str]:
    """Return one epoch's row under :data:`EPOCH_HEADINGS`."""
    return [
        str(epoch.epoch),
        f"{epoch.seconds:.1f}",
        f"{epoch.images_per_second:.0f}",
        f"{epoch.train_loss:.4f}",
        percent(epoch.train_top1),
        percent(epoch.train_top5),
        "-" if epoch.val_loss is None else f"{epoch.val_loss:.4f}",
        percent(epoch.val_top1),
        percent(epoch.val_top5),
        percent(epoch.test_top1),
        percent(epoch.test_top5),
    ]


def epoch_line(epoch: Epoch) -> str:
    """Return one epoch as a line of text, without the figures that it has not."""
    cells = zip(EPOCH_HEADINGS, epoch_cells(epoch), strict=True)
    return ", ".join(f"{heading} {cell}" for heading, cell in cells if cell != "-")


def epoch_table(epochs: Sequence[Epoch], best_epoch: int) -> Table:
    """Return the log as a table, the best epoch bold; figures no epoch has are left out."""
    rows = [epoch_cells(epoch) for epoch in epochs]
    shown = [
        place for place in range(len(EPOCH_HEADINGS)) if any(row[place] != "-" for row in rows)
    ]
    table = _table(*(EPOCH_HEADINGS[place] for place in shown))
    for epoch, row in zip(epochs, rows, strict=True):
        style = "bold" if epoch.epoch == best_epoch else ""
        table.add_row(*(row[place] for place in shown), style=style)
    return table


def render_train(result: TrainResult) -> RenderableType:
    """Render the log, its curves, and where the checkpoints are."""
    from facecheck.report.chart import LearningCurves

    return Group(
        epoch_table(result.epochs, result.best_epoch),
        LearningCurves(result.epochs),
        _line(
            f"{result.train_images:,} training and {result.val_images:,} validation images of "
            f"{', '.join(result.kinds)}, on {result.device}, from weights: {result.weights}"
        ),
        _line(
            f"best checkpoint: {result.best} (epoch {result.best_epoch})"
            + ("; no better epoch came, so it stopped early" if result.stopped_early else "")
        ),
    )


def render_lr_find(result: LrFindResult) -> RenderableType:
    """Render the two suggestions, and how the curve ended."""
    ended = "the loss diverged" if result.diverged else "the loss had not diverged"
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_row(Text("steepest fall", "bold"), Text(f"--lr {result.steep:.1e}", "green"))
    table.add_row(Text("a tenth of the lowest loss's rate", "bold"), f"--lr {result.tenth:.1e}")
    lowest = min(result.smoothed)
    return Group(
        table,
        _line(
            f"{len(result.rates)} steps from {result.rates[0]:.1e} to {result.rates[-1]:.1e}, "
            f"where {ended}; lowest loss {lowest:.4f}; {result.arch} on {result.device}, from "
            f"weights: {result.weights}"
        ),
    )


def render_calibrate(result: CalibrateResult) -> RenderableType:
    """Render what was found, and what it costs on the val split."""
    low, high = result.thresholds
    between = f"from {high:.4f} on artificial" + (", uncertain between" if low < high else "")
    sides = _table("verdict", "images", "wrong", "at most (95 %)", "uncertain")
    _add_side(sides, "real called artificial", result.real)
    _add_side(sides, "artificial called real", result.artificial)
    parts: list[RenderableType] = [
        _line(
            f"temperature {result.temperature:.3f}: loss {result.loss_before:.4f} to "
            f"{result.loss:.4f}, ECE {result.ece_before:.4f} to {result.ece:.4f}"
        ),
        _line(f"a score up to {low:.4f} is real, {between}"),
        _line(
            "no guard"
            if result.guard is None
            else f"guard: distance {result.guard:.4f}; refuses {result.guarded:,} of "
            f"{result.images:,} images"
        ),
        sides,
    ]
    if max(result.real.bound, result.artificial.bound) > result.budget:
        parts.append(
            _line(
                f"the budget of {percent(result.budget)} is kept here, but so few images cannot "
                "prove it for new ones",
                "yellow",
            )
        )
    if result.errors:
        parts.append(_counts("reason", _tally_errors(result.errors)))
    parts.append(_line(f"calibrated on split val of {result.manifest}, in {result.out}"))
    return Group(*parts)


def render_export(result: ExportResult) -> RenderableType:
    """Render an export beside its checkpoint."""
    of_both = f"{percent(result.top1)} to {percent(result.exported_top1)}"
    allowed = "" if result.allowed is None else f" (allowed: {result.allowed:g})"
    calibrated = f", quantised by {result.calibrated_on:,} others" * bool(result.calibrated_on)
    return Group(
        _line(
            f"{result.path}: {result.format}, {result.precision}, {result.bytes / 1e6:.1f} MB",
            "green",
        ),
        _line(
            f"beside its checkpoint, on {result.images:,} val images{calibrated}: scores differ by "
            f"{result.mean_difference:.5f} on average, {result.largest_difference:.5f} at most"
            f"{allowed}; {result.verdicts_changed:,} verdicts changed; top-1 {of_both}"
        ),
    )


def _add_side(table: Table, name: str, rate: ErrorRate) -> None:
    numbers = (f"{rate.images:,}", f"{rate.wrong:,}", percent(rate.bound), f"{rate.uncertain:,}")
    table.add_row(name, *numbers)


def generate_line(row: Row) -> str:
    """Return one row of a generator's log as a line."""
    return (
        f"step {row.step:,}: loss of the generator {row.generator_loss:.3f}, of the discriminator "
        f"{row.discriminator_loss:.3f}; {row.images:,} images, {row.seconds / 60:.1f} minutes"
    )


def render_generate_train(result: GenerateTrainResult) -> RenderableType:
    """Render the log's last row, what was learned from, and where the generator is."""
    counts = ", ".join(f"{count:,} of {kind}" for kind, count in result.images.items())
    return Group(
        *(_line(generate_line(row)) for row in result.log[-1:]),
        _line(
            f"{result.steps:,} steps in {result.seconds / 60:.1f} minutes on {result.device}, at "
            f"{result.size} pixels, from {counts}"
        ),
        _line(f"generator: {path_text(result.checkpoint)}; grids beside it", "green"),
    )


def render_generate_sample(result: GenerateSampleResult) -> RenderableType:
    """Render how many images there are, and where."""
    counts = ", ".join(f"{count:,} of {kind}" for kind, count in result.images.items())
    return _line(
        f"{counts}, {result.size} pixels, seed {result.seed}, marked as synthetic, in "
        f"{path_text(result.out)}; the first of them in {path_text(result.grid)}"
    )


def render_generate_quality(result: GenerateQualityResult) -> RenderableType:
    """Render each kind's distance beside its anchors."""
    table = _table("kind", "images", "generated", "real (train)", "noise")
    for row in result.by_kind:
        distances = map(_distance, (row.generated, row.real, row.noise))
        table.add_row(row.kind, f"{row.images:,}", *distances)
    return Group(
        table,
        _line(
            f"kernel inception distance from real images of val and test, mean ± standard "
            f"deviation over subsets; features: {result.features}; all at {result.size} pixels"
        ),
    )


def _distance(distance: Distance) -> str:
    return f"{distance.kid:.4f} ± {distance.spread:.4f}"


def render_evaluate(result: EvaluateResult) -> RenderableType:
    """Render the kinds by source, real against artificial by source and overall, and confusion."""
    headings = ("images", "loss", "top-1", "95 % interval", "top-5")
    metadata = ("metadata alone",) if result.baseline else ()
    table = _table("kind", "source", *headings, *metadata)
    for key, part in result.by_source.items():
        guess = result.baseline.get(key)
        beside = [percent(guess.kind if guess else None)] if metadata else []
        table.add_row(key[0], Text(key[1]), *_summary_cells(part), *beside)
    table.add_section()
    for kind, part in result.by_kind.items():
        table.add_row(kind, "all", *_summary_cells(part))
    table.add_section()
    table.add_row("all", "all", *_summary_cells(result.overall), style="bold")
    matrix = _table("true \\ predicted", *result.kinds)
    for kind, row in zip(result.kinds, result.confusion, strict=True):
        matrix.add_row(kind, *(f"{count:,}" for count in row))
    verdicts = result.verdicts
    parts: list[RenderableType] = [
        _line(f"{result.checkpoint} on split {result.split} of {result.manifest}", "bold"),
        table,
        _line(f"balanced accuracy {_figure(result.balanced_accuracy)}"),
        matrix,
        _line("Real against artificial; each source against all images of the other side", "bold"),
        _sides(result),
        _figures(result.ranking, result.calibration),
        _line(
            f"verdicts: {verdicts.wrong:,} wrong, {verdicts.uncertain:,} uncertain; "
            f"{_figure(verdicts.accuracy)} right on the {_figure(verdicts.coverage)} answered"
        ),
        _risks(result),
    ]
    if result.errors:
        parts.append(_counts("reason", _tally_errors(result.errors)))
    return Group(*parts)


def _sides(result: EvaluateResult) -> Table:
    headings = ("answered", "right of these", "AUC", "EER", "TPR at 1 %", "ECE", "Brier")
    metadata = ("metadata alone",) if result.baseline else ()
    table = _table("kind", "source", *headings, *metadata)
    for key, verdicts in result.verdicts_by_source.items():
        ranked, calibrated = result.ranking_by_source[key], result.calibration_by_source[key]
        shares = (verdicts.coverage, verdicts.accuracy, ranked.auc, ranked.eer, ranked.tpr_at_1)
        guess = result.baseline.get(key)
        table.add_row(
            *(key[0], Text(key[1])),
            *(percent(figure.value) for figure in shares[:2]),
            "-" if ranked.auc.value is None else f"{ranked.auc.value:.4f}",
            *(percent(figure.value) for figure in shares[3:]),
            *(f"{figure.value:.4f}" for figure in (calibrated.ece, calibrated.brier)),
            *([percent(guess.side if guess else None)] if metadata else []),
        )
    return table


def _figures(ranked: Ranking, calibrated: Calibration) -> Table:
    table = _table("figure", "value and 95 % interval")
    best = "-" if ranked.best_threshold is None else f"{ranked.best_threshold:.4f}"
    rows = {
        "AUC": ranked.auc,
        "average precision": ranked.ap,
        "equal error rate": ranked.eer,
        "TPR at 1 % FPR": ranked.tpr_at_1,
        "TPR at 5 % FPR": ranked.tpr_at_5,
        "balanced accuracy at the checkpoint's threshold": ranked.accuracy,
        f"balanced accuracy at the best threshold ({best})": ranked.best_accuracy,
        "ECE of the kind": calibrated.ece,
        "ECE of the score": calibrated.score_ece,
        "Brier score": calibrated.brier,
    }
    for name, figure in rows.items():
        table.add_row(name, _figure(figure))
    return table


def _risks(result: EvaluateResult) -> Text:
    shown = [point for point in result.risk_coverage.points if round(20 * point[0]) in {10, 17, 20}]
    said = ", ".join(f"{percent(risk)} of the surest {coverage:.0%}" for coverage, risk in shown)
    return _line(f"wrong: {said}; AURC {_figure(result.risk_coverage.aurc)}")


def _figure(figure: Figure) -> str:
    """Return a share with its interval as text such as ``93.42 % (91.0 to 95.1)``."""
    if figure.value is None or figure.interval is None:
        return "-"
    low, high = figure.interval
    return f"{percent(figure.value)} ({100 * low:.2f} to {100 * high:.2f})"


def _tally_errors(errors: tuple[tuple[str, str], ...]) -> dict[str, int]:
    return {f"{path}: {reason}": 1 for path, reason in errors}


def _summary_cells(summary: Summary) -> list[str]:
    low, high = summary.interval
    return [
        f"{summary.count:,}",
        f"{summary.loss:.4f}",
        percent(summary.top1),
        f"{100 * low:.1f} to {100 * high:.1f}",
        percent(summary.top5),
    ]


def render_study(result: StudyResult) -> RenderableType:
    """Render one row a variant, and where the rest is."""
    from facecheck.report.study_page import table_text

    headings, rows = table_text(result.variants)
    table = _table(*headings)
    for cells in rows:
        table.add_row(*map(Text, cells))
    kept = len(result.runs) - result.trained
    found = f"; {kept} of them were found finished" if kept else ""
    return Group(
        _line(f"{result.title}: {result.question}", "bold"),
        table,
        _line(f"figures in %, of the test split; {len(result.runs)} runs in {result.out}{found}"),
    )


def render_merge(result: MergeResult) -> RenderableType:
    """Render what was joined."""
    return _line(
        f"{result.rows:,} rows of {result.files:,} files in {result.out}, from "
        f"{len(result.parts):,} parts",
        "green",
    )


def _model(checkpoint: Path) -> str:
    if checkpoint == BUILTIN:
        return "the built-in model, for research only (docs/model-card.md)"
    return f"model {checkpoint}"


#: Colours of verdicts; the words stand beside them.
_VERDICT_STYLES = {
    Verdict.REAL: "green",
    Verdict.ARTIFICIAL: "red",
    Verdict.UNCERTAIN: "yellow",
}


def render_explained(result: ExplainResult) -> RenderableType:
    """Render a card for each face of one image: its verdict, score, probabilities and place."""
    size = "" if result.width is None else f", {result.width:,} x {result.height:,}"
    found = {None: "", 0: ", no face found", 1: ", 1 face"}.get(
        result.faces, f", {result.faces} faces"
    )
    parts: list[RenderableType] = [_line(f"{_visible(result.image)}{size}{found}", "bold")]
    if result.status == Status.OK:
        for number, face in enumerate(result.explained, 1):
            of_several = f"face {number}: " if len(result.explained) > 1 else ""
            parts.append(_card(face, of_several))
    else:
        from facecheck.report.explain import status_sentence

        said = _visible(status_sentence(result))
        parts.append(_line(f"{result.status}: {said}", "magenta"))
    where = "" if result.out is None else f"{_visible(path_text(result.out))}; "
    parts.append(_line(f"{where}{_model(result.checkpoint)}"))
    return Group(*parts)


def _card(face: ExplainedFace, label: str) -> Panel:
    from facecheck.report.explain import side_of

    verdict = face.verdict
    style = _VERDICT_STYLES[verdict.verdict]
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_row(Text("score", "bold"), _bar(verdict.score, style), Text(f"{verdict.score:.3f}"))
    for kind, share in verdict.probabilities.items():
        shown = "bold" if kind == verdict.kind else ""
        table.add_row(Text(kind, shown), _bar(share, "blue"), Text(percent(share), shown))
    seen = "the whole image"
    if face.face is not None:
        box = face.face.box
        place = f"{box.width} x {box.height} at {box.left}, {box.top}"
        seen = f"{'face' if face.view == 'face' else seen + ', a close-up of a face,'} {place}"
    told = (
        f"the hottest square spoke most for {side_of(verdict)}: hidden, it leaves a score of "
        f"{face.hidden_score:.3f}"
    )
    return Panel(
        Group(table, _line(f"judged: {seen}", "dim"), _line(told, "dim")),
        title=Text(f"{label}{verdict.verdict}", f"bold {style}"),
        title_align="left",
        border_style=style,
        expand=False,
    )


def _bar(share: float, style: str) -> Text:
    """Return a bar of 30 cells; not in colour alone, and plain where there are no colours."""
    filled = round(30 * share)
    return Text("█" * filled, style).append("░" * (30 - filled), "dim")


def _visible(name: str) -> str:
    """Return a name on one line: what a terminal would obey is escaped."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in name
    )


_STATUS_STYLES = {Status.NO_FACE: "cyan", Status.TOO_SMALL: "cyan", Status.ERROR: "magenta"}
_BAR = 24


def render_scan(result: ScanResult) -> RenderableType:
    """Render rows by verdict and status as bars, what kinds they show, and where they are."""
    counts: list[tuple[str, int, str]] = [
        (name, result.verdicts.get(name, 0), style) for name, style in _VERDICT_STYLES.items()
    ]
    for status, style in _STATUS_STYLES.items():
        count = result.statuses.get(status, 0)
        if count or status == Status.ERROR:
            counts.append((status, count, style if count else ""))
    total = max(1, sum(count for _, count, _ in counts))
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, count, style in counts:
        bar = ProgressBar(
            total, count, width=_BAR, complete_style=style or "none", finished_style=style or "none"
        )
        table.add_row(Text(name, style), bar, _right(f"{count:,}"), _right(percent(count / total)))
    kinds = sorted(result.kinds.items(), key=lambda item: (-item[1], item[0]))
    resumed = f", {result.resumed:,} of them from an interrupted run" if result.resumed else ""
    return Group(
        table,
        *([_line(", ".join(f"{count:,} {kind}" for kind, count in kinds))] if kinds else []),
        _line(
            f"{result.files:,} files, {result.rows:,} rows in {result.out}{resumed}; "
            f"{_model(result.checkpoint)}"
        ),
        *([] if result.placed is None else _places(result.placed)),
    )


def render_place(result: PlaceResult) -> RenderableType:
    """Render files placed by verdict, and what was not."""
    table = _table("verdict", "files")
    for verdict, count in result.verdicts.items():
        table.add_row(verdict, f"{count:,}")
    left = [_line(f"{result.left:,} files left where they are")] if result.left else []
    return Group(table, *_places(result), *left)


def _right(text: str) -> Text:
    return Text(text, justify="right")


def _places(result: PlaceResult) -> Iterator[Text]:
    done = "moved" if result.how == "move" else "copied"
    already = f", {result.already:,} were there" if result.already else ""
    yield _line(f"{result.placed:,} files {done} to {path_text(result.to)}{already}", "green")
    for reason, count in result.failed.items():
        yield _line(f"{count:,} not {done}: {reason}", "magenta")


def render_curation_report(result: CurationReport) -> RenderableType:
    """Return where a curation's report is, and what is in it."""
    told = {
        "duplicates": result.duplicates,
        "files in conflict": result.conflicts,
        "shortcuts": result.warnings,
    }
    found = ", ".join(
        f"{name} not sought" if count is None else f"{count:,} {name}"
        for name, count in told.items()
    )
    lines = [_line(f"{result.records:,} images of {result.sources:,} sources: {found}")]
    if result.missing:
        lines.append(_line(f"{result.missing:,} files could not be shown", "yellow"))
    if result.audit_is_old:
        lines.append(_line("the audit is of another state of the manifest", "yellow"))
    return Group(*lines, _line(f"open {path_text(result.page)}"))


def render_scan_report(result: ScanReport) -> RenderableType:
    """Return where a scan's report is, and what is in it."""
    lines = [_line(f"{result.rows:,} rows, {result.thumbnails:,} thumbnails")]
    if result.missing:
        lines.append(_line(f"{result.missing:,} files could not be shown", "yellow"))
    return Group(*lines, _line(f"open {path_text(result.page)}"))


def render_run_report(result: RunReport) -> RenderableType:
    """Return the evaluation in a line, what the page leaves out, and where it is."""
    found = result.result
    auc = found.ranking.auc.value
    told = "" if auc is None else f", AUC {auc:.4f}"
    lines = [
        _line(
            f"{result.images:,} images of split {found.split}: top-1 "
            f"{percent(found.overall.top1)}{told}; {len(result.figures)} figures, "
            f"{result.points:,} faces on the map"
        )
    ]
    lines += [_line(f"not shown: {why}", "yellow") for _, why in result.left_out]
    if found.errors:
        lines.append(_line(f"{len(found.errors):,} files could not be read", "magenta"))
    return Group(*lines, _line(f"open {path_text(result.page)}"))
