"""The options of what reads a file's own words on its origin."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from facecheck.core.options import Options, Trust, option


@dataclass(frozen=True)
class EvidenceOptions(Options):
    """What provenance is checked against."""

    panel: ClassVar[str] = "Provenance"
    trust: Path | None = option(
        None,
        "Certificates, PEM, that may sign Content Credentials, besides those of the C2PA Trust "
        "List.",
        words="none",
        trust=Trust.NAMED,
    )
    marks: Path | None = option(
        None,
        "More marks of generators, YAML, as docs/provenance.md describes.",
        words="the package's own",
        trust=Trust.NAMED,
    )


@dataclass(frozen=True)
class ProvenanceOptions(EvidenceOptions):
    """Whether a file's own words on its origin count."""

    provenance: Literal["on", "off"] = option(
        "on",
        "on: what the file says of its origin counts too, by the rules of docs/provenance.md; off: "
        "only its pixels.",
    )
