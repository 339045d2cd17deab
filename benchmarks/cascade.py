#!/usr/bin/env python
"""What a cascade would save: builtin-fast first, builtin for what is not surely a drawing.

    cd docs/model
    python ../../benchmarks/cascade.py predictions-builtin.csv predictions-builtin-fast.csv

Takes the predictions of both models on the same images (`facecheck evaluate --predictions`), and
the seconds of a core that each takes for a face. Prints for several limits how many images the
small model would settle, how many of them wrongly, and how many times as fast the whole would be:
on these images, and on folders of which other shares are drawings.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import polars as pl

DRAWINGS = ("cartoon", "sketch", "painting", "sculpture")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("large", type=Path, help="predictions of builtin")
    parser.add_argument("small", type=Path, help="predictions of builtin-fast")
    parser.add_argument("--seconds", type=float, nargs=2, default=(0.13, 0.008), metavar="S",
                        help="of a core a face, large and small [0.13 0.008]")  # fmt: skip
    given = parser.parse_args()
    large, small = given.seconds
    both = pl.read_csv(given.large).join(pl.read_csv(given.small), on="path", suffix="_small")
    is_drawing = pl.col("kind").is_in(DRAWINGS)
    columns = [f"p_{kind}_small" for kind in DRAWINGS]
    drawings = both.filter(is_drawing).height
    print(f"{len(both):,} images, {drawings / len(both):.0%} of them drawings\n")
    print("| small model's limit | settled | of the drawings | no drawings among them "
          "| wrong kind: small, large | times as fast here | all drawings | no drawings |\n"
          "|---:|---:|---:|---:|---:|---:|---:|---:|")  # fmt: skip
    for limit in (0.5, 0.8, 0.9, 0.95, 0.98):
        taken = both.filter(pl.max_horizontal(columns) > limit)
        own = taken.filter(is_drawing)
        settled, share = len(taken) / len(both), len(own) / drawings
        wrong = [
            int((taken["kind"] != taken[f"predicted_kind{suffix}"]).sum())
            for suffix in ("_small", "")
        ]
        faster = [large / (small + (1 - part) * large) for part in (settled, share, 0.0)]
        cells = [f"{limit}", f"{settled:.1%}", f"{share:.1%}", f"{len(taken) - len(own)}"]
        cells += [f"{wrong[0]}, {wrong[1]}", *(f"{one:.2f}" for one in faster)]
        print(f"| {' | '.join(cells)} |")
    sure = both.filter(pl.col("p_photo_small") > 0.99)
    missed = sure.filter(pl.col("kind") != "photo")
    found = int((missed["verdict"] != "real").sum())
    print(f"\nsurely a photograph for the small model (0.99): {len(sure)}, of which artificial "
          f"{len(missed)}; the large one does not call {found} of these real")  # fmt: skip


if __name__ == "__main__":
    main()
