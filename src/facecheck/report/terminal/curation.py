"""Results of the commands that curate: index, dedup, split, audit, convert."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from facecheck.core.text import percent
from facecheck.report.terminal.tables import (
    count_table,
    make_table,
    skipped_lines,
    tally_errors,
    text_line,
)

if TYPE_CHECKING:
    from facecheck.data.audit import AuditResult, Guess
    from facecheck.data.duplicates.dedup import DedupResult
    from facecheck.data.duplicates.explain import Explanation
    from facecheck.data.index import IndexResult
    from facecheck.data.interchange import ConvertResult
    from facecheck.data.keep_columns import Kept
    from facecheck.data.leaks import CheckResult, Proof
    from facecheck.data.split import SplitResult


def render_index(result: IndexResult) -> RenderableType:
    """Render counts by kind and source, and the reasons of rejects."""
    table = make_table("kind", "source", "images")
    for (kind, source), count in result.by_source.items():
        table.add_row(kind, Text(source), f"{count:,}")
    parts: list[RenderableType] = [
        table,
        text_line(
            f"{result.records:,} images in {result.manifest}; {result.rejected:,} rejected "
            f"({result.rejects})"
        ),
        *_split_line(result),
        *_table_lines(result),
        *skipped_lines(result.skipped),
    ]
    for pair, count in result.paired.items():
        alone = result.unpaired[pair]
        parts.append(
            text_line(
                f"{pair}: {count:,} names with a partner, {alone:,} files without one",
                "yellow" if alone else "",
            )
        )
    parts += _kept_lines(result.kept)
    if result.bad_lines:
        parts.append(text_line(f"{result.bad_lines:,} damaged lines of the journal were dropped"))
    if result.reasons:
        parts.append(count_table("reason", result.reasons))
    return Group(*parts)


def _split_line(result: IndexResult) -> list[Text]:
    """Say how many images are in which split, where any is."""
    if not result.by_split:
        return []
    counts = ", ".join(f"{name} {count:,}" for name, count in result.by_split.items())
    return [text_line(f"split: {counts} (--drop-split forgets it)")]


def _table_lines(result: IndexResult) -> list[Text]:
    """Say which columns of tables were read, and what tables and files do not share."""
    lines = []
    for use in result.tables:
        kinds = f", kinds from {use.kind_column!r}" if use.kind_column else ""
        without = f"; {use.without_file:,} rows name no file" if use.without_file else ""
        line = f"{use.table}: {use.rows:,} rows, files from {use.path_column!r}{kinds}{without}"
        lines.append(text_line(line, "yellow" if without else ""))
    if result.unnamed:
        lines.append(text_line(f"{result.unnamed:,} images that no table names", "yellow"))
    if result.relabelled:
        lines.append(text_line(f"{result.relabelled:,} records have another kind than before"))
    for column, count in result.differing.items():
        line = f"{column}: {count:,} images have two values in the inputs, the first counts"
        lines.append(text_line(line, "yellow"))
    if result.changed:
        lines.append(
            text_line(
                f"{result.changed:,} images have another sha256 than their table says: their "
                "group, split and exclusion are dropped",
                "yellow",
            )
        )
    return lines


def _kept_lines(kept: Kept) -> list[Text]:
    lines = []
    if kept.columns:
        told = ", ".join(f"{name} of {count:,}" for name, count in kept.columns.items())
        again = "; run `facecheck dedup` again" if "excluded" in kept.columns else ""
        lines.append(text_line(f"kept from the manifest of before: {told} records{again}"))
    if kept.lost:
        lines.append(
            text_line(f"{kept.lost:,} records with such values are gone, or have changed", "yellow")
        )
    if kept.torn:
        lines.append(
            text_line(
                f"{kept.torn:,} groups are in more than one split now: run `facecheck split` again",
                "yellow",
            )
        )
    return lines


def render_dedup(result: DedupResult) -> RenderableType:
    """Render what was excluded and why, which sources share pictures, and what is in conflict."""
    dropped = sum(result.dropped.values())
    parts: list[RenderableType] = []
    if result.dropped:
        parts.append(count_table("reason", result.dropped))
    if result.by_sources:
        table = make_table("source", "other source", "pairs")
        for (source, other), pairs in result.by_sources.items():
            table.add_row(Text(source), Text(other), f"{pairs:,}")
        parts.append(table)
    if result.by_kinds:
        parts.append(count_table("kinds in conflict", result.by_kinds))
    parts.append(
        text_line(
            f"{result.records:,} records: {dropped:,} excluded as duplicates, {result.conflicts:,} "
            f"set aside as label conflicts ({result.duplicates}); {result.groups:,} groups left "
            f"in {result.manifest}"
        )
    )
    if result.apart:
        parts.append(
            text_line(
                f"{result.apart:,} kept that look like another file without their transparency or "
                "further frames: in one group with it"
            )
        )
    if result.spared:
        parts.append(
            text_line(
                f"{result.spared:,} protected files kept that hold the picture of another one: in "
                "one group with it",
                "yellow",
            )
        )
    if result.protected_conflicts:
        parts.append(
            text_line(
                f"{result.protected_conflicts:,} protected files kept whose copies have another "
                f"kind ({result.conflicts_table})",
                "yellow",
            )
        )
    if result.applied:
        done = result.applied
        parts.append(
            text_line(
                f"{done.placed:,} files placed by {done.how} in {done.to}, {done.already:,} were "
                f"there; {done.left_out:,} excluded records left out"
                f"{f'; {done.stayed:,} protected stay' if done.stayed else ''}; in {done.manifest}"
            )
        )
    return Group(*parts)


def render_explain(result: Explanation) -> RenderableType:
    """Render the decision, its reasons, and the measures behind it."""
    verdict = "duplicates" if result.duplicates else "not duplicates"
    table = make_table("measure", "whole", "aligned")
    nearest = f"{result.edited_distance} ({result.edited_view})"
    table.add_row("hash distance, bits", str(result.distance), nearest)
    for name in ("correlation", "detail"):
        measures = (getattr(alike, name) for alike in (result.whole, result.aligned))
        table.add_row(name, *(f"{measure:.4f}" for measure in measures))
    table.add_row("colour difference", f"{result.whole.difference:.2f}", "-")
    return Group(
        text_line(f"{verdict} at level {result.level}, radius {result.radius}", "bold"),
        *(text_line(f"  {reason}") for reason in result.why),
        table,
    )


def render_split(result: SplitResult) -> RenderableType:
    """Render counts and real shares, by source and overall, and the proof that nothing leaks."""
    from facecheck.core.manifest import SPLITS  # slow, and in the way of a scan's first row

    parts = tuple(result.counts)
    # Many folds, all alike: their shares would not fit next to their counts.
    shares = parts if len(parts) <= len(SPLITS) else ()
    table = make_table("kind", "source", *parts, *(f"{name} %" for name in shares))
    for (kind, source), counts in result.by_source.items():
        table.add_row(kind, Text(source), *_split_cells(counts, parts, shares))
    table.add_section()
    table.add_row("all", "", *_split_cells(result.counts, parts, shares), style="bold")
    kept = f"{result.kept:,} kept their {result.column}; " if result.kept else ""
    reasons = ", ".join(f"{count:,} {why}" for why, count in result.left_out.items())
    left_out = f"{sum(result.left_out.values()):,} records{f' ({reasons})' if reasons else ''}"
    replaced = []
    if result.replaced:
        replaced.append(
            text_line(
                f"{result.replaced:,} records had another {result.column} before, which was "
                "replaced: --extend keeps what is there, --keep a part of it",
                "yellow",
            )
        )
    if result.kept_excluded:
        replaced.append(
            text_line(
                f"{result.kept_excluded:,} records of what was to be kept are excluded, and so in "
                f"no {result.column}: `facecheck dedup --protect FOLDER` keeps a folder's files",
                "yellow",
            )
        )
    return Group(
        table,
        text_line(
            f"{result.groups:,} groups; {kept}{left_out} left out; "
            f"column {result.column} in {result.manifest}"
        ),
        *replaced,
        _proof(result.proof),
        *_unchecked(result.near, result.manifest, result.proof),
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
    checked = ", ".join(f"{count:,} {why}" for why, count in proof.checked.items())
    head = f"{proof.column}: {proof.records:,} records; sets of records checked: {checked}"
    if proof.holds:
        return text_line(f"{head}; no leak", "green")
    table = make_table("file", "in", "belongs with", "which is in", "reason")
    for leak in proof.leaks[:_SHOWN_LEAKS]:
        table.add_row(*map(Text, (leak.path, leak.part, leak.other, leak.other_part, leak.why)))
    more = len(proof.leaks) - _SHOWN_LEAKS
    rest = [text_line(f"… and {more:,} more (--json gives all)")] if more > 0 else []
    return Group(text_line(f"{head}; {len(proof.leaks):,} records leak", "bold red"), table, *rest)


def _unchecked(near: str, manifest: Path, *proofs: Proof) -> list[Text]:
    """Return a line for each thing that a proof does not cover."""
    from facecheck.data.leaks import NOT_CHECKED

    lines = []
    if near == NOT_CHECKED:
        lines.append(f"near duplicates: not checked: run `facecheck dedup {manifest}` first")
    unhashed = max((proof.unhashed for proof in proofs), default=0)
    if unhashed:
        lines.append(
            f"same bytes and pixels: not checked for {unhashed:,} records without hashes: "
            "`facecheck index` fills them"
        )
    return [text_line(line, "yellow") for line in lines]


def render_check(result: CheckResult) -> RenderableType:
    """Render the proof that an existing split has no leaks, or the leaks."""
    parts: list[RenderableType] = [_proof(proof) for proof in result.proofs]
    unchecked = _unchecked(result.near, result.path, *result.proofs)
    if result.near == "files":
        parts.append(text_line("near duplicates: every file was opened and compared"))
    elif not unchecked or unchecked[0].plain.startswith("same"):
        parts.append(text_line(f"near duplicates: as in {result.near}"))
    parts += unchecked
    if result.rejected:
        parts.append(text_line(f"{result.rejected:,} files could not be read", "yellow"))
    return Group(*parts)


def render_convert(result: ConvertResult) -> RenderableType:
    """Render how many images went where."""
    table = make_table("split", "images")
    for split, count in result.by_split.items():
        table.add_row(split or "(none)", f"{count:,}")
    parts: list[RenderableType] = [table]
    if result.errors:
        parts.append(count_table("reason", tally_errors(result.errors)))
    left_out = f"; {result.left_out:,} records left out" if result.left_out else ""
    parts.append(
        text_line(f"{result.records:,} images in {result.target} ({result.layout}){left_out}")
    )
    return Group(*parts)


#: How many warnings a terminal lists; ``--json`` and the report give all.
_SHOWN_WARNINGS = 12


def render_audit(result: AuditResult) -> RenderableType:
    """Render how well each question is answered from each set of features, and the shortcuts."""
    fixed = {(guess.question, guess.features): guess for guess in result.normalised}
    after = ("metadata fixed", "pixels fixed") if fixed else ()
    table = make_table("question", "images", "chance", "metadata", "AUC", "pixels", "AUC", *after)
    pairs = dict.fromkeys(guess.question for guess in result.guesses)
    found = {(guess.question, guess.features): guess for guess in result.guesses}
    for question in pairs:
        metadata, pixels = found[question, "metadata"], found[question, "pixels"]
        cells = [Text(question), Text(f"{metadata.images:,}"), Text(f"{100 / metadata.sides:.1f}")]
        for guess in (metadata, pixels):
            cells += [_guess_cell(guess, result.warn_above), Text(f"{guess.auc:.3f}")]
        for guess in (fixed[question, name] for name in ("metadata", "pixels") if fixed):
            cells.append(_guess_cell(guess, result.warn_above))
        table.add_row(*cells)
    parts: list[RenderableType] = []
    if result.warnings:
        shown = result.warnings[:_SHOWN_WARNINGS]
        head = (
            f"{len(result.warnings)} of {len(result.guesses)} guesses are right above "
            f"{percent(result.warn_above)}; a classifier may learn these instead of faces. The "
            f"{len(shown)} with the strongest single feature:"
        )
        parts += [text_line(head, "yellow"), *(text_line(f"- {told}") for told in shown)]
    else:
        parts.append(text_line(f"no guess is right above {percent(result.warn_above)}", "green"))
    parts += [
        *_provenance_line(result),
        text_line(
            "Balanced accuracy in % of guesses from metadata or crude pixel statistics alone",
            "bold",
        ),
        table,
    ]
    if result.errors:
        parts.append(count_table("reason", tally_errors(result.errors)))
    if result.recipe:
        parts.append(
            text_line(f"recipe that normalises, for `facecheck train --recipe`: {result.recipe}")
        )
    parts.append(text_line(f"{result.images:,} images; report in {result.report}"))
    return Group(*parts)


def _provenance_line(result: AuditResult) -> Iterator[Text]:
    """Say how far what files say of their own origin gives the kinds away."""
    said = [
        f"{each.question} {100 * each.balanced_accuracy:.1f} % (chance {100 / each.sides:.1f} %)"
        for each in result.guesses
        if each.features == "provenance"
    ]
    if said:
        yield text_line(f"from what files say of their own origin alone: {', '.join(said)}")


def _guess_cell(guess: Guess, warn_above: float) -> Text:
    warns = guess.balanced_accuracy > warn_above
    return Text(f"{100 * guess.balanced_accuracy:.1f}", "yellow" if warns else "")
