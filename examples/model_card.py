#!/usr/bin/env python
"""Writes the figures of model card and README from what examples/builtin_model.sh leaves.

    python examples/model_card.py PROOF [--into docs/model-card.md README.md]

Every number comes from a file of the proof, so that pages and proof cannot differ; with ``--into``
the part of each page between its two markers is replaced, else the card's part is printed.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from facecheck.model.metrics import wilson

MODELS = {"builtin": "`builtin`", "builtin-fast": "`builtin-fast`"}
PAIR = ("ffhq-256", "stylegan-256")
CIPLAB = ("ciplab-photos", "ciplab-fakes")
DIFFUSION = ("sd21", "sdxl", "flux")
ART = ("cartoon", "sketch", "painting", "sculpture")
#: What `facecheck audit` found of the files as they came, and of the crops that are trained on.
AUDITS = {"audit-files": "files", "audit-crops": "crops"}
#: The paper's sources and what it reached on each with ResNet-50, in %, and the same kinds here.
PAPER = (
    ("cartoon", "99.10", ("anime-64", "anime-96")),
    ("sketch", "100", ("cufs-sketches",)),
    ("CIPLAB: photograph or composite", "76.75", CIPLAB),
)
#: Its two networks, trained again: `facecheck study networks`.
NETWORKS = Path(__file__).parent.parent / "docs" / "studies" / "networks" / "results.jsonl"
#: The headings of what :func:`stranger` gives.
STRANGER = ("kind", "left out", "images", "AUC", "found at 1 % false alarms", "false alarms")
#: What UTKFace's file names say of a person: age_sex_race.
SEXES = {"0": "men", "1": "women"}
RACES = {"0": "White", "1": "Black", "2": "Asian", "3": "Indian", "4": "other"}


def percent(share: float) -> str:
    """Return a share as text, in %."""
    return f"{100 * share:.1f} %"


def rate(right: int, count: int) -> str:
    """Return a share with its 95 % Wilson interval, in %."""
    if not count:
        return "-"
    return f"{percent(right / count)} {between(wilson(right, count))}"


def between(interval: Sequence[float]) -> str:
    """Return an interval of shares as text, in %."""
    low, high = interval
    return f"({100 * low:.1f} to {100 * high:.1f})"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


class Proof:
    """The files of a proof."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.leave_out = self.json("leave-out.json")["result"]
        self.calibrate = self.json("calibrate.json")["result"]
        self.models = [name for name in MODELS if (folder / f"evaluate-{name}.json").is_file()]

    def json(self, name: str) -> Any:
        """Return a file of JSON; a result is under ``result``."""
        found = json.loads((self.folder / name).read_text(encoding="utf-8"))
        return found if "result" in found else {"result": found}

    def predictions(self, name: str) -> pl.DataFrame:
        """Return a model's answers on the test split, with what is right."""
        frame = pl.read_csv(self.folder / f"predictions-{name}.csv")
        artificial = pl.col("kind") != "photo"
        return frame.with_columns(
            right=(pl.col("score") >= 0.5) == artificial,
            top1=pl.col("predicted_kind") == pl.col("kind"),
        )


def right_of(frame: pl.DataFrame, sources: Sequence[str], column: str = "right") -> str:
    """Return the share that is right among some sources."""
    part = frame.filter(pl.col("source").is_in(sources))
    return rate(int(part[column].sum()), len(part))


def known(proof: Proof) -> str:
    """Return the table of sources that the models were trained on, beside metadata alone."""
    frames = {name: proof.predictions(name) for name in proof.models}
    first = next(iter(frames.values()))
    guesses = [metadata(proof, name)["by_source"] for name in AUDITS]
    rows = []
    for kind, source in first.select("kind", "source").unique(maintain_order=True).rows():
        cells = [kind, source, str(len(first.filter(pl.col("source") == source)))]
        for frame in frames.values():
            part = frame.filter(pl.col("source") == source)
            wrong = "artificial" if kind == "photo" else "real"
            counts = [int((part["verdict"] == verdict).sum()) for verdict in ("uncertain", wrong)]
            cells += [rate(count, len(part)) for count in (int(part["top1"].sum()), *counts)]
        for guess in guesses:
            share = guess.get(f"{kind}/{source}")
            cells.append("-" if share is None else percent(share))
        rows.append(cells)
    headings = ["kind", "source", "images"]
    for name in frames:
        headings += [f"{MODELS[name]}: kind right", "uncertain", "wrong verdict"]
    headings += [f"kind by metadata alone, {what}" for what in AUDITS.values()]
    return table(headings, rows)


def metadata(proof: Proof, name: str, question: str = "kind") -> Any:
    """Return how well metadata alone answer a question."""
    guesses = proof.json(f"{name}.json")["result"]["guesses"]
    asked = {(guess["question"], guess["features"]): guess for guess in guesses}
    return asked[question, "metadata"]


#: What a table says of a model, by its name and its answers on the test split.
Cell = Callable[[str, pl.DataFrame], str]
#: What is said of each model first, in the card and in README.
FIRST: dict[str, Cell] = {
    "kind, all images of `test`": lambda _, f: rate(int(f["top1"].sum()), len(f)),
    "clean pair (FFHQ, StyleGAN), real or artificial": lambda _, f: right_of(f, PAIR),
    "CIPLAB, real or composite (the paper: 76.75 %)": lambda _, f: right_of(f, CIPLAB),
    "Stable Diffusion 2.1, SDXL, FLUX found": lambda _, f: right_of(f, DIFFUSION),
}


def by_model(proof: Proof, corner: str, lines: Mapping[str, Cell]) -> str:
    """Return a table with a column for each model."""
    frames = {name: proof.predictions(name) for name in proof.models}
    rows = [
        [heading, *(cell(name, frame) for name, frame in frames.items())]
        for heading, cell in lines.items()
    ]
    return table([corner, *(MODELS[name] for name in frames)], rows)


def summary(proof: Proof) -> str:
    """Return the table of what matters first, a column a model."""
    lines: dict[str, Cell] = FIRST | {
        "expected calibration error of the kind": lambda name, _: ece(proof, name),
        "right among the surest 85 %": lambda name, _: surest(proof, name),
        "points lost from clean to hard": lambda name, _: hard(proof, name),
        "points lost in the format test, at most": lambda name, _: stored(proof, name),
    }
    return by_model(proof, "on `test`", lines)


def by_metadata(proof: Proof) -> str:
    """Return the table of what can be told without looking at the faces."""
    rows = []
    for name, what in AUDITS.items():
        for question in ("kind", "real or artificial"):
            found = metadata(proof, name, question)
            rows.append(
                [
                    *(what, question, str(found["sides"]), percent(found["balanced_accuracy"])),
                    *(f"{found['auc']:.3f}", found["shortcut"]),
                ]
            )
    headings = ["of the", "question", "answers", "balanced accuracy", "AUC", "what says most"]
    return table(headings, rows)


def evaluated(proof: Proof, name: str) -> Any:
    """Return what ``evaluate`` found."""
    return proof.json(f"evaluate-{name}.json")["result"]


def ece(proof: Proof, name: str) -> str:
    """Return the calibration error of the most probable kind."""
    return f"{evaluated(proof, name)['calibration']['ece']['value']:.3f}"


def surest(proof: Proof, name: str) -> str:
    """Return the share right among the surest 85 %."""
    points = dict(map(tuple, evaluated(proof, name)["risk_coverage"]["points"]))
    return percent(1 - points[0.85])


def benchmark(proof: Proof, name: str) -> Any:
    """Return what ``benchmark-model`` found, or None."""
    path = proof.folder / f"benchmark-{name}" / "benchmark.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def hard(proof: Proof, name: str) -> str:
    """Return the points lost from clean to hard."""
    found = benchmark(proof, name)
    return "not measured" if found is None else f"{100 * found['clean_to_hard']:.1f}"


def stored(proof: Proof, name: str) -> str:
    """Return the most that any kind loses when stored as the photographs are."""
    found = benchmark(proof, name)
    if found is None or not found["format_test"]:
        return "not measured"
    return f"{100 * max(row['lost'] for row in found['format_test']):.1f}"


def robustness(proof: Proof) -> str:
    """Return the table of what happens to pictures."""
    rows = []
    for name in proof.models:
        found = benchmark(proof, name)
        if found is None:
            continue
        for row in [*found["lines"], *found["cases"], *found["sizes"]]:
            cells = [MODELS[name], row["name"]]
            for side in ("photo", "artificial"):
                share = row[side]
                if share is None:
                    cells.append("-")
                else:
                    cells.append(f"{percent(share['right'])} {between(share['interval'])}")
            rows.append([*cells, percent(row["accuracy"])])
    return table(["model", "change", "photographs right", "artificial right", "mean"], rows)


def stranger(row: Mapping[str, Any]) -> list[str]:
    """Return the cells of a source that a model never saw."""
    found, alarms = row["recall"], row["alarms"]
    interval = between(row["interval"])
    return [
        *(row["kind"], row["source"], str(row["images"]), f"{row['auc']:.3f}"),
        "" if found is None else f"{percent(found)} {interval}",
        "" if alarms is None else f"{percent(alarms)} {interval}",
    ]


def strangers(proof: Proof) -> str:
    """Return the table of sources scored by models that never saw them."""
    return table(STRANGER, map(stranger, proof.leave_out["rows"]))


def left_out_verdicts(proof: Proof) -> pl.DataFrame:
    """Return the left-out scores with the verdicts that the shipped thresholds give them."""
    frame = pl.read_csv(proof.folder / "left-out-scores.csv")
    low, high = proof.calibrate["thresholds"]
    temperature = proof.calibrate["temperature"]
    score = 1 / (1 + (-pl.col("log_odds") / temperature).exp())
    verdict = (
        pl.when(score >= high)
        .then(pl.lit("artificial"))
        .when(score <= low)
        .then(pl.lit("real"))
        .otherwise(pl.lit("uncertain"))
    )
    return frame.with_columns(verdict=verdict)


def verdicts_of_strangers(proof: Proof) -> str:
    """Return the table of verdicts on the left-out sources."""
    frame = left_out_verdicts(proof)
    rows = []
    for (kind, source), part in frame.partition_by(
        "kind", "source", as_dict=True, maintain_order=True
    ).items():
        shares = [
            rate(int((part["verdict"] == verdict).sum()), len(part))
            for verdict in ("real", "uncertain", "artificial")
        ]
        rows.append([str(kind), str(source), str(len(part)), *shares])
    order = [row["source"] for row in proof.leave_out["rows"]]
    rows.sort(key=lambda row: order.index(row[1]))
    return table(["kind", "left out", "images", "real", "uncertain", "artificial"], rows)


def fairness(proof: Proof) -> str:
    """Return the table of UTKFace's photographs by age, sex and origin, by models without it."""
    frame = left_out_verdicts(proof).filter(pl.col("source") == "utkface")
    person = frame["path"].str.extract(r"([0-9]+_[0-9]+_[0-9]+)-[0-9]+[^/]*$")
    parts = person.str.split("_")
    frame = frame.with_columns(
        age=(parts.list.get(0).cast(pl.Int64) // 10 * 10).cast(pl.String) + "s",
        sex=parts.list.get(1).replace_strict(SEXES, default="unknown"),
        race=parts.list.get(2).replace_strict(RACES, default="unknown"),
    )
    rows = []
    for column in ("age", "sex", "race"):
        for (value,), part in sorted(frame.partition_by(column, as_dict=True).items()):
            wrong = int((part["verdict"] == "artificial").sum())
            doubt = int((part["verdict"] == "uncertain").sum())
            cells = [rate(count, len(part)) for count in (wrong, doubt)]
            rows.append([column, str(value), str(len(part)), *cells])
    return table(["", "people", "images", "called artificial", "uncertain"], rows)


def goals(proof: Proof) -> str:
    """Return each goal of the model, what was reached, and whether that is enough."""
    name = proof.models[0]
    frame = proof.predictions(name)
    left = left_out_verdicts(proof)
    rows = proof.leave_out["rows"]
    made = [row["auc"] for row in rows if row["kind"] in {"generated", "composite"}]
    art = [row["auc"] for row in rows if row["kind"] in ART]
    photos = left.filter(pl.col("kind") == "photo").group_by("source")
    by_photo = photos.agg(
        alarms=(pl.col("verdict") == "artificial").mean(),
        uncertain=(pl.col("verdict") == "uncertain").mean(),
    )
    bench, found = benchmark(proof, name), evaluated(proof, name)

    def share(sources: Sequence[str], column: str = "right") -> float:
        return float(frame.filter(pl.col("source").is_in(sources))[column].mean())  # type: ignore[arg-type]

    def highest(column: str) -> float:
        return float(by_photo[column].max())  # type: ignore[arg-type]

    points = dict(map(tuple, found["risk_coverage"]["points"]))
    lost = [row["lost"] for row in bench["format_test"]] if bench else [math.nan]
    formats = f"format test, {bench['images'] if bench else 0} images: at most 2 points lost"
    drop = bench["clean_to_hard"] if bench else math.nan
    top1 = float(frame["top1"].mean())  # type: ignore[arg-type]
    mean_alarms, mean_doubt = (
        float(by_photo[column].mean())  # type: ignore[arg-type]
        for column in ("alarms", "uncertain")
    )
    least, most = 1, -1
    measured: list[tuple[str, float, float, int, str]] = [
        ("clean pair at least 97 %", share(PAIR), 0.97, least, "%"),
        ("CIPLAB at least 85 % (the paper: 76.75 %)", share(CIPLAB), 0.85, least, "%"),
        ("SD, SDXL, FLUX found at least 98 %", share(DIFFUSION), 0.98, least, "%"),
        ("kind top-1 at least 97 %", top1, 0.97, least, "%"),
        ("generators left out: mean AUC at least 0.92", sum(made) / len(made), 0.92, least, ""),
        ("generators left out: none under 0.80", min(made), 0.80, least, ""),
        ("photo sources left out: false alarms at most 3 %, mean", mean_alarms, 0.03, most, "%"),
        ("the same, the worst source", highest("alarms"), 0.03, most, "%"),
        ("photo sources left out: uncertain at most 20 %, mean", mean_doubt, 0.20, most, "%"),
        ("the same, the worst source", highest("uncertain"), 0.20, most, "%"),
        ("art and statues left out: mean AUC at least 0.97", sum(art) / len(art), 0.97, least, ""),
        ("clean to hard: at most 5 points lost", drop, 0.05, most, "points"),
        (formats, max(lost), 0.02, most, "points"),
        ("ECE at most 0.03", found["calibration"]["ece"]["value"], 0.03, most, ""),
        ("99 % right on the surest 85 %", 1 - points[0.85], 0.99, least, "%"),
    ]
    lines = []
    for goal, value, wanted, direction, unit in measured:
        shown = f"{value:.3f}" if not unit else f"{100 * value:.1f} {unit}"
        is_met = direction * value >= direction * wanted
        lines.append([goal, shown, "met" if is_met else "**missed**"])
    return table(["goal (`builtin`)", "reached", ""], lines)


def then_and_now(proof: Proof) -> str:
    """Return the table of the paper's own sources: what it reached, and what is reached here."""
    lines = NETWORKS.read_text(encoding="utf-8").splitlines()
    runs = pl.DataFrame([json.loads(line) for line in lines])
    frames = {MODELS[name]: proof.predictions(name) for name in proof.models}
    rows = []
    for heading, paper, sources in PAPER:
        cells = [heading, f"{paper} %"]
        for _, part in runs.group_by("variant", maintain_order=True):
            found = [
                counts
                for run in part["by_source"].to_list()
                for name, counts in run.items()
                if name.split("/")[1] in sources
            ]
            images, right = (sum(column) for column in zip(*found, strict=True))
            cells.append(rate(right, images))
        cells += [right_of(frame, sources, "top1") for frame in frames.values()]
        rows.append(cells)
    networks = runs["variant"].unique(maintain_order=True).to_list()
    return table(["", "the paper, ResNet-50", *networks, *frames], rows)


def each_in_turn(proof: Proof) -> str:
    """Return the table of sources left out one by one by five heads, and of all diffusion."""
    each = proof.json("leave-out-each.json")["result"]["rows"]
    diffusion = proof.json("leave-out-diffusion.json")["result"]["rows"]
    without = {row["source"]: row for row in diffusion}
    rows = []
    for row in each:
        together = without.get(row["source"]) if row["kind"] == "generated" else None
        rows.append([*stranger(row), "" if together is None else f"{together['auc']:.3f}"])
    return table([*STRANGER, "AUC, all diffusion left out"], rows)


def figures(proof: Proof) -> str:
    """Return the generated part of the card."""
    low, high = proof.calibrate["thresholds"]
    sections = {
        "What they reach": summary(proof),
        "By metadata alone": by_metadata(proof),
        "By source, on images of sources they know": known(proof),
        "Sources that a model never saw": strangers(proof),
        "Each source in turn, and all diffusion": each_in_turn(proof),
        "Verdicts on sources never seen": verdicts_of_strangers(proof),
        "After what happens to pictures": robustness(proof),
        "People": fairness(proof),
        "The paper, then and now": then_and_now(proof),
        "The goals": goals(proof),
    }
    notes = {
        "By metadata alone": (
            "What headers, sizes and formats tell, whatever the face (`facecheck audit "
            "--per-source 0`; small forests that saw neither an image nor its group): of the files "
            "as they came, and of the crops that the models were trained and are tested on."
        ),
        "Verdicts on sources never seen": (
            f"By the thresholds of `builtin`: real up to a score of {low:.3f}, artificial from "
            f"{high:.3f}; without the detector of unfamiliar images."
        ),
        "Each source in turn, and all diffusion": (
            "Five heads as in `builtin`, but from 120 images of each source and one view, since "
            "features of all cost hours on a machine without VNNI; pairs are left out together. "
            "In the last column Stable Diffusion 2.1, XL and with LoRAs, FLUX and InstructPix2Pix "
            "were left out at once, with five sources of photographs that the AUC is against."
        ),
        "The paper, then and now": (
            "Kind right, on the paper's own sources as far as `../shared/data` has them. The two "
            "networks began with random weights and saw a fifth of the images at 64 px "
            "([studies/networks](studies/networks/README.md)); the paper's began with ImageNet's."
        ),
        "People": (
            "UTKFace's photographs, by the model that never saw UTKFace; age, sex and origin are "
            "those of its file names."
        ),
    }
    parts = []
    for heading, text in sections.items():
        parts += [f"## {heading}", *([notes[heading]] if heading in notes else []), text]
    return "\n\n".join(parts)


def in_short(proof: Proof) -> str:
    """Return README's table of the models."""
    facts = {
        "builtin": ("the best answers", "94 MB", "about 8"),
        "builtin-fast": ("millions of files on small machines", "7 MB", "about 30"),
    }
    lines: dict[str, Cell] = {
        "for": lambda name, _: facts[name][0],
        "size": lambda name, _: facts[name][1],
        "faces a second, one core": lambda name, _: facts[name][2],
    }
    return by_model(proof, "", lines | FIRST)


#: What is written between two markers of a page, by their name.
PARTS = {"figures": figures, "models": in_short}


def filled(page: str, proof: Proof) -> str:
    """Return a page with its parts written again.

    Raises:
        ValueError: it has no markers.
    """
    found = [name for name in PARTS if f"<!-- {name}: begin -->" in page]
    if not found:
        raise ValueError(f"lacks a line <!-- {next(iter(PARTS))}: begin -->")
    for name in found:
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, rest = page.split(begin, 1)
        page = f"{before}{begin}\n\n{PARTS[name](proof)}\n\n{end}{rest.split(end, 1)[1]}"
    return page


def main(folder: str, *into: str) -> None:
    """Print the card's figures, or write them into pages."""
    proof = Proof(Path(folder))
    if not into:
        print(figures(proof))
    for page in map(Path, into[1:]):
        text = page.read_text(encoding="utf-8")
        try:
            page.write_text(filled(text, proof), encoding="utf-8")
        except ValueError as error:
            sys.exit(f"{page}: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
