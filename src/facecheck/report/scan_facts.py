"""What a page says of the scan that it shows: what made it, its thresholds and its limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facecheck.core.files import path_text, sha256_file
from facecheck.core.jsonable import parse_json
from facecheck.model.facts import CAUTION, ModelFacts, knowledge, state_text
from facecheck.model.several_faces import precise

_UNKNOWN = "not known: no .meta.json next to the results"


@dataclass(frozen=True)
class ScanFacts:
    """What is known of a scan.

    Attributes:
        facts: in words, by heading.
        identity: what a browser keeps decisions about these results under: their sha256, or their
            path.
        thresholds: up to which score a face is real, and from which it is artificial, 0 to 1; None
            where that is not known.
        by_faces: from which score a file is artificial, by the number of its faces; empty where
            that is not known.
        per_face: whether there is a row for each face.
        caution: what its verdicts do not say.
    """

    facts: Mapping[str, str]
    identity: str
    thresholds: tuple[float, float] | None = None
    by_faces: Mapping[str, float] = field(default_factory=dict)
    per_face: bool = False
    caution: str = f"{CAUTION[0].upper()}{CAUTION[1:]}."

    @classmethod
    def of(cls, results: Path) -> ScanFacts:
        """Return what the ``.meta.json`` of results says, as far as there is one."""
        digest = sha256_file(results)
        named = {"Results": path_text(results.name)}
        try:
            meta = parse_json(results.with_name(f"{results.name}.meta.json").read_bytes())
            changed = meta.get("sha256") != digest
        except (OSError, ValueError, AttributeError):
            return cls({**named, "Scan": _UNKNOWN}, digest)
        if changed:
            named["Changed"] = "the results have been changed since the scan"
        return cls.of_meta(meta, digest, named)

    @classmethod
    def of_meta(cls, meta: Mapping[str, Any], identity: str, named: Mapping[str, str]) -> ScanFacts:
        """Return what is said of a scan by values such as its ``.meta.json`` holds.

        Args:
            meta: the values; what is not as a scan writes it counts as not known.
            identity: as of the attribute.
            named: facts that are known already, and come first.
        """
        try:
            known = dict(_facts_of(meta))
        except (ValueError, TypeError, AttributeError):
            return cls({**named, "Scan": _UNKNOWN}, identity)
        thresholds, by_faces = _thresholds(meta), _by_faces(meta)
        per_face = bool(meta.get("per_face"))
        return cls({**named, **known}, identity, thresholds, by_faces, per_face)

    @property
    def rule(self) -> str:
        """How a score becomes a verdict, in a sentence."""
        if self.thresholds is None:
            return "The thresholds of this scan are not known."
        low, high = self.thresholds
        if low == high:
            return f"A score of {precise(high)} or more is artificial, any other is real."
        several = [f"{precise(score)} of {n}" for n, score in self.by_faces.items() if n != "1"]
        more = f"; in a file of several faces from more: {', '.join(several)}" if several else ""
        return (
            f"A score up to {precise(low)} is real, from {precise(high)} on it is artificial, and "
            f"between the two it is uncertain{more}."
        )

    def page_data(self) -> dict[str, Any]:
        """Return what a page's scripts need to know of the scan."""
        return {
            "identity": self.identity,
            "thresholds": self.thresholds,
            "perFace": self.per_face,
        }


def _thresholds(meta: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return the two thresholds of a scan: its own one, or those of its model."""
    one = meta.get("threshold")
    stored = meta.get("thresholds") if one is None else [one, one]
    if isinstance(stored, list) and len(stored) == 2 and all(map(_is_share, stored)):
        return float(stored[0]), float(stored[1])
    return None


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value <= 1


def _by_faces(meta: Mapping[str, Any]) -> Mapping[str, float]:
    stored = meta.get("artificial_from_by_faces")
    if meta.get("threshold") is not None or not isinstance(stored, Mapping):
        return {}
    return stored if all(map(_is_share, stored.values())) else {}


def _facts_of(meta: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "Version", f"facecheck {meta.get('facecheck', 'not known')}"
    yield "Checkpoint", f"sha256 {str(meta.get('checkpoint_sha256'))[:16]}"
    yield from _model_facts(meta.get("model"))
    detector = meta.get("face_detector_sha256")
    yield "Face detector", f"sha256 {str(detector)[:16]}" if detector else "none: images whole"
    if meta.get("known_sha256"):
        yield "Known files", f"sha256 {str(meta['known_sha256'])[:16]}"
    yield "Device", str(meta.get("device", "not known"))
    if meta.get("per_face"):
        yield "Rows", "one for each face"
    if meta.get("only"):
        yield "Only", ", ".join(map(str, meta["only"]))
    if meta.get("stability"):
        yield "Stability", f"{meta['stability']} variants"
    if meta.get("threshold") is not None:
        yield "Threshold", str(meta["threshold"])
    if meta.get("provenance") == "off":
        yield "Provenance", "not read: verdicts are by the pixels alone"


def _model_facts(stored: Any) -> Iterator[tuple[str, str]]:
    """Yield what the model knows and does not; nothing for results of older versions."""
    if not isinstance(stored, Mapping):
        return
    known = {name: stored[name] for name in ModelFacts.__dataclass_fields__ if name in stored}
    model = ModelFacts(**known)
    yield "Model", state_text(model)
    yield from knowledge(model)
