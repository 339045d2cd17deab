"""Results of the generate commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType

from facecheck.core.files import path_text
from facecheck.report.terminal.tables import make_table, text_line

if TYPE_CHECKING:
    from facecheck.generator.quality import Distance, GenerateQualityResult
    from facecheck.generator.sample import GenerateSampleResult
    from facecheck.generator.state import Row
    from facecheck.generator.train import GenerateTrainResult


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
        *(text_line(generate_line(row)) for row in result.log[-1:]),
        text_line(
            f"{result.steps:,} steps in {result.seconds / 60:.1f} minutes on {result.device}, at "
            f"{result.size} pixels, from {counts}"
        ),
        text_line(f"generator: {path_text(result.checkpoint)}; sample grids next to it", "green"),
    )


def render_generate_sample(result: GenerateSampleResult) -> RenderableType:
    """Render how many images there are, and where."""
    counts = ", ".join(f"{count:,} of {kind}" for kind, count in result.images.items())
    return text_line(
        f"{counts}, {result.size} pixels, seed {result.seed}, marked as synthetic, in "
        f"{path_text(result.out)}; the first of them in {path_text(result.grid)}"
    )


def render_generate_quality(result: GenerateQualityResult) -> RenderableType:
    """Render each kind's distance, next to those of real images and of noise."""
    table = make_table("kind", "images", "generated", "real (train)", "noise")
    for row in result.by_kind:
        distances = map(_distance, (row.generated, row.real, row.noise))
        table.add_row(row.kind, f"{row.images:,}", *distances)
    return Group(
        table,
        text_line(
            f"kernel inception distance from real images of val and test, mean ± standard "
            f"deviation over subsets; features: {result.features}; all at {result.size} pixels"
        ),
    )


def _distance(distance: Distance) -> str:
    return f"{distance.kid:.4f} ± {distance.spread:.4f}"
