"""Results of scan, place, merge and explain."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from facecheck.core.files import path_text
from facecheck.core.labels import Basis, Status, Verdict
from facecheck.core.text import percent, printable
from facecheck.core.workspace import builtin_name
from facecheck.model.facts import CAUTION, ModelFacts, knowledge_text
from facecheck.report.terminal.provenance import findings_of
from facecheck.report.terminal.tables import make_table, skipped_lines, text_line

if TYPE_CHECKING:
    from facecheck.report.explain import ExplainedFace, ExplainResult
    from facecheck.scanner.crop import CropResult
    from facecheck.scanner.job import ScanResult
    from facecheck.scanner.results.merge import MergeResult
    from facecheck.scanner.results.place import PlaceResult
    from facecheck.scanner.results.update import Updated


def _model(checkpoint: Path) -> str:
    name = builtin_name(checkpoint)
    if name:
        return f"the built-in model {name}, for research only (docs/model-card.md)"
    return f"model {checkpoint}"


def _knowledge(model: ModelFacts) -> Iterator[Text]:
    yield text_line(knowledge_text(model))
    yield text_line(model.caution)


#: Colours of verdicts; the words are always there as well.
_VERDICT_STYLES = {
    Verdict.REAL: "green",
    Verdict.ARTIFICIAL: "red",
    Verdict.UNCERTAIN: "yellow",
}


def render_crop(result: CropResult) -> RenderableType:
    """Render how many crops show a face, and how many the whole image."""
    views = ", ".join(f"{count:,} {view}" for view, count in sorted(result.views.items()))
    kept = f"; {result.kept:,} had been made before" if result.kept else ""
    return Group(
        text_line(
            f"{result.images:,} crops ({views}; no face found in {result.without_face:,}){kept}"
        ),
        *(text_line(f"left out: {path}: {why}", "yellow") for path, why in result.errors),
        text_line(f"manifest: {path_text(result.manifest)}"),
    )


def render_explained(result: ExplainResult) -> RenderableType:
    """Render a card for each face of one image, then what its file says of its origin."""
    size = "" if result.width is None else f", {result.width:,} x {result.height:,}"
    found = {None: "", 0: ", no face found", 1: ", 1 face"}.get(
        result.faces, f", {result.faces} faces"
    )
    parts: list[RenderableType] = [text_line(f"{printable(result.image)}{size}{found}", "bold")]
    if result.verdict is not None and result.basis != Basis.PIXELS:
        parts.append(_decided(result))
    if result.status == Status.OK:
        for number, face in enumerate(result.explained, 1):
            of_several = f"face {number}: " if len(result.explained) > 1 else ""
            parts.append(_card(face, of_several))
        if len(result.explained) > 1 and result.verdict and result.basis == Basis.PIXELS:
            why = f": {printable(result.message)}" if result.message else ""
            style = _VERDICT_STYLES[result.verdict]
            parts.append(text_line(f"the image: {result.verdict}{why}", style))
    else:
        from facecheck.report.explain import status_sentence

        said = printable(status_sentence(result))
        parts.append(text_line(f"{result.status}: {said}", "magenta"))
    parts += findings_of(result.provenance)
    where = "" if result.out is None else f"{printable(path_text(result.out))}; "
    parts.append(text_line(f"{where}{_model(result.checkpoint)}"))
    if result.verdict == Verdict.REAL:
        parts.append(text_line(CAUTION))
    return Group(*parts)


def _decided(result: ExplainResult) -> Text:
    """Return the verdict on a file that does not rest on its pixels; the cards are about these."""
    style = f"bold {_VERDICT_STYLES[result.verdict]}" if result.verdict else ""
    return text_line(f"{result.verdict} ({result.basis}): {printable(result.message)}", style)


def _card(face: ExplainedFace, label: str) -> Panel:
    from facecheck.report.explain import side_of

    verdict = face.verdict
    style = _VERDICT_STYLES[verdict.verdict]
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_row(Text("score", "bold"), _bar(verdict.score, style), Text(f"{verdict.score:.3f}"))
    for kind, share in verdict.probabilities.items():
        weight = "bold" if kind == verdict.kind else ""
        table.add_row(Text(kind, weight), _bar(share, "blue"), Text(percent(share), weight))
    shown = "the whole image"
    if face.face is not None:
        box = face.face.box
        place = f"{box.width} x {box.height} at {box.left}, {box.top}"
        shown = f"{'face' if face.view == 'face' else shown + ', a close-up of a face,'} {place}"
    evidence = (
        f"the hottest square is the strongest evidence for {side_of(verdict)}: with it hidden, the "
        f"score is {face.hidden_score:.3f}"
    )
    return Panel(
        Group(table, text_line(f"classified: {shown}", "dim"), text_line(evidence, "dim")),
        title=Text(f"{label}{verdict.verdict}", f"bold {style}"),
        title_align="left",
        border_style=style,
        expand=False,
    )


def _bar(share: float, style: str) -> Text:
    """Return a bar of 30 cells; not in colour alone, and plain where there are no colours."""
    filled = round(30 * share)
    return Text("█" * filled, style).append("░" * (30 - filled), "dim")


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
    others = result.unwritten
    unwritten = f" ({others:,} of other verdicts not written)" if others else ""
    resumed = f", {result.resumed:,} of them from an interrupted run" if result.resumed else ""
    return Group(
        table,
        *([text_line(", ".join(f"{count:,} {kind}" for kind, count in kinds))] if kinds else []),
        text_line(
            f"{result.files:,} files, {result.rows:,} rows in {result.out}{unwritten}{resumed}; "
            f"{_model(result.checkpoint)}"
        ),
        *([] if result.updated is None else [text_line(_updated(result.updated), "green")]),
        *(text_line(note, "yellow") for note in result.notes),
        *_knowledge(result.model),
        *skipped_lines(result.skipped),
        *([] if result.rejects is None else [_rejects(result.rejects)]),
        *([] if result.placed is None else _places(result.placed)),
    )


def _rejects(table: Path) -> Text:
    return text_line(f"what was skipped, but for hidden and excluded files: {path_text(table)}")


def _updated(found: Updated) -> str:
    how = "their rows are last" if found.gone_rows == "kept" else "their rows are dropped"
    gone = f"{found.gone:,} gone{f' ({how})' if found.gone else ''}"
    return f"updated: {found.new:,} new, {found.changed:,} changed, {gone}, {found.kept:,} kept"


def render_place(result: PlaceResult) -> RenderableType:
    """Render files placed by verdict, and what was not."""
    table = make_table("verdict", "files")
    for verdict, count in result.verdicts.items():
        table.add_row(verdict, f"{count:,}")
    return Group(table, *_places(result))


def _right(text: str) -> Text:
    return Text(text, justify="right")


def _places(result: PlaceResult) -> Iterator[Text]:
    done = "moved" if result.how == "move" else "copied"
    already = f", {result.already:,} were there" if result.already else ""
    yield text_line(f"{result.placed:,} files {done} to {path_text(result.to)}{already}", "green")
    for reason, count in result.failed.items():
        yield text_line(f"{count:,} not {done}: {reason}", "magenta")
    if result.left:
        yield text_line(
            f"{result.left:,} files left where they are: without such a verdict, or not to be moved"
        )


def render_merge(result: MergeResult) -> RenderableType:
    """Render what was joined."""
    return text_line(
        f"{result.rows:,} rows of {result.files:,} files in {result.out}, from "
        f"{len(result.parts):,} parts",
        "green",
    )
