"""What a model knows and what its verdicts do not say, by its own header, so that it is true."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from facecheck.core.labels import KINDS, Kind
from facecheck.core.text import percent, printable
from facecheck.model.checkpoint import Header

#: What every reader of a verdict is to know.
CAUTION = (
    "the verdict real is no proof of a real person: it says that a face resembles the photographs "
    "that the model was trained on, as faces by a generator it never saw, or edited ones, may, too"
)
#: Sources that are named of one kind; the others are counted.
_NAMED = 12


@dataclass(frozen=True)
class ModelFacts:
    """What a model was made from, and in what state it is.

    Attributes:
        kinds: what it distinguishes.
        never_saw: the kinds that it was not trained on.
        trained_on: images by source, by kind; empty where its file does not say.
        budget: the error rate that it was calibrated for, 0 to 0.5; None if it was not calibrated.
        val_top1: share of the ``val`` split whose kind is right, 0 to 1, as training measured it;
            None without one.
        epoch: epochs that it was trained for.
        epochs: those that its recipe asks for; None where that is not known.
        caution: what its verdicts do not say.
    """

    kinds: tuple[str, ...]
    never_saw: tuple[str, ...]
    trained_on: Mapping[str, Mapping[str, int]]
    budget: float | None
    val_top1: float | None
    epoch: int
    epochs: int | None
    caution: str = CAUTION


def facts_of(header: Header) -> ModelFacts:
    """Return what a header says of its model."""
    epochs = header.recipe.get("epochs")
    budget = header.calibration.get("budget")
    top1 = header.metrics.get("val_top1")
    return ModelFacts(
        kinds=header.kinds,
        never_saw=tuple(kind for kind in KINDS if kind not in header.kinds),
        trained_on=header.trained_on,
        budget=float(budget) if isinstance(budget, int | float) else None,
        val_top1=float(top1) if isinstance(top1, int | float) else None,
        epoch=header.epoch,
        epochs=epochs if isinstance(epochs, int) else None,
    )


def state_text(facts: ModelFacts) -> str:
    """Return how well a model is trained and whether it is calibrated, in a phrase."""
    of = f" of {facts.epochs}" if facts.epochs else ""
    top1 = "no val split" if facts.val_top1 is None else f"val top-1 {percent(facts.val_top1)}"
    calibrated = (
        "not calibrated: its scores are no probabilities yet, run `facecheck calibrate`"
        if facts.budget is None
        else f"calibrated for errors of {100 * facts.budget:g} %"
    )
    return f"{top1} after epoch {facts.epoch}{of}; {calibrated}"


def knowledge(facts: ModelFacts) -> Iterator[tuple[str, str]]:
    """Yield a heading and a text for each thing that a model knows or does not know."""
    yield "Knows", ", ".join(facts.kinds)
    if facts.never_saw:
        yield "Never saw", ", ".join(facts.never_saw)
    for kind in (Kind.GENERATED, Kind.COMPOSITE, Kind.PHOTO):
        if kind in facts.kinds:
            yield f"Trained on, {kind}", _sources(facts.trained_on.get(kind, {}))


def _sources(images: Mapping[str, int]) -> str:
    if not images:
        return "sources that its file does not name"
    names = [f"{printable(source)} ({count:,})" for source, count in images.items()]
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def knowledge_text(facts: ModelFacts) -> str:
    """Return in a sentence what a model knows, its generators by source, and what it never saw."""
    generated = facts.trained_on.get(Kind.GENERATED, {})
    named = [_with_sources(kind, generated) for kind in facts.kinds]
    never = f"; it never saw {_listed(facts.never_saw)}" if facts.never_saw else ""
    return f"the model knows {_listed(named)}{never}"


def _with_sources(kind: str, generated: Mapping[str, int]) -> str:
    if kind != Kind.GENERATED or not generated:
        return kind
    names = [printable(name) for name in generated]
    more = [f"{len(names) - _NAMED} more"] if len(names) > _NAMED else []
    return f"{kind} ({', '.join(names[:_NAMED] + more)})"


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
