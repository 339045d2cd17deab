"""What was found in a file on its origin, and which of it counts.

The rules, with their reasons, are in docs/provenance.md: a mark of artificial origin is a claim
that nobody is helped by making falsely, so it counts whether it is signed or not; a claim to be a
photograph is what a forger would write, so it counts only where somebody who is trusted signed it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from facecheck.core.text import printable

#: Letters that are kept of what a file says of its maker, and of any other text in it.
MOST_LETTERS = 200
#: Findings that the short form names; a file may hold any number.
MOST_SHORT = 8


class Claim(StrEnum):
    """What a finding says of the picture.

    ``generated``: made by a model or an algorithm; ``composite``: a photograph with parts made so;
    ``capture``: taken by a camera or a scanner; ``other``: neither, such as who signed it.
    """

    GENERATED = "generated"
    COMPOSITE = "composite"
    CAPTURE = "capture"
    OTHER = "other"


class Witness(StrEnum):
    """Where a finding comes from; in the order in which they are believed."""

    C2PA = "c2pa"
    IPTC = "iptc"
    MARK = "mark"
    EXIF = "exif"
    SOFTWARE = "software"


class State(StrEnum):
    """How far a C2PA manifest can be relied on.

    ``trusted``: the signature holds, and its certificate leads to one of the trust list; ``valid``:
    the signature holds, by a signer whom the list does not know; ``invalid``: the file was changed
    after it was signed, or the signature is broken or out of date; ``remote``: the manifest is
    elsewhere, and is not fetched; ``unread``: it could not be read.
    """

    TRUSTED = "trusted"
    VALID = "valid"
    INVALID = "invalid"
    REMOTE = "remote"
    UNREAD = "unread"


_ARTIFICIAL = (Claim.GENERATED, Claim.COMPOSITE)


@dataclass(frozen=True)
class Finding:
    """One thing that a file says of its origin.

    Attributes:
        witness: where it comes from.
        claim: what it says of the picture.
        name: of a C2PA manifest its :class:`State`; of a mark its name in the table; else empty.
        maker: the program, service or camera that is named, as it is written there; or empty.
        where: the place in the file, such as ``XMP DigitalSourceType``.
        value: what is written there, at most :data:`MOST_LETTERS` letters.
        signer: who signed it, of a C2PA manifest; else empty.
    """

    witness: Witness
    claim: Claim
    name: str = ""
    maker: str = ""
    where: str = ""
    value: str = ""
    signer: str = ""

    @property
    def short(self) -> str:
        """One word for tables: ``c2pa:trusted:generated``, ``iptc:composite``, ``mark:comfyui``."""
        if self.witness == Witness.C2PA and self.name in (State.REMOTE, State.UNREAD):
            return f"{self.witness}:{self.name}"
        if self.witness == Witness.C2PA:
            return f"{self.witness}:{self.name}:{self.claim}"
        if self.witness == Witness.MARK:
            return f"{self.witness}:{self.name}"
        if self.witness == Witness.IPTC:
            return f"{self.witness}:{self.claim}"
        return "exif:camera" if self.witness == Witness.EXIF else str(self.witness)

    @property
    def is_artificial(self) -> bool:
        """Whether it says that the picture, or part of it, is artificial."""
        return self.claim in _ARTIFICIAL

    @property
    def is_trusted_capture(self) -> bool:
        """Whether a camera or program on the trust list signed that this is a photograph."""
        signed = self.witness == Witness.C2PA and self.name == State.TRUSTED
        return signed and self.claim == Claim.CAPTURE

    @property
    def _rank(self) -> tuple[int, int, int]:
        """The smaller, the more it counts: a claim of artificial origin first, then its witness."""
        broken = self.witness == Witness.C2PA and self.name == State.INVALID
        witness = len(Witness) if broken else list(Witness).index(self.witness)
        state = list(State).index(State(self.name)) if self.witness == Witness.C2PA else 0
        weight = 0 if self.is_artificial else 1 if self.is_trusted_capture else 2
        return weight, witness, state


@dataclass(frozen=True)
class Provenance:
    """All that a file says of its origin. It can be sent between processes.

    Attributes:
        findings: those that count most first.
        errors: what could not be read, and why, in a phrase each.
    """

    findings: tuple[Finding, ...] = ()
    errors: tuple[str, ...] = ()

    @property
    def artificial(self) -> Finding | None:
        """The finding that makes the picture artificial, if there is one."""
        first = next(iter(self.findings), None)
        return first if first and first.is_artificial else None

    @property
    def trusted_capture(self) -> Finding | None:
        """The finding that says, signed and trusted, that it is a photograph.

        None where anything says that the picture is artificial.
        """
        if self.artificial:
            return None
        return next((each for each in self.findings if each.is_trusted_capture), None)

    @property
    def claim(self) -> str:
        """What the strongest finding says of the picture, or empty."""
        return str(self.findings[0].claim) if self.findings else ""

    @property
    def generator(self) -> str:
        """What the file names as its maker: that of the strongest finding that names one."""
        return next((each.maker for each in self.findings if each.maker), "")

    @property
    def short(self) -> str:
        """The findings in a word each, the strongest first, joined by ``;``; then any errors."""
        words = list(dict.fromkeys(each.short for each in self.findings))[:MOST_SHORT]
        return ";".join([*words, *(f"error: {each}" for each in self.errors[:1])])


NOTHING = Provenance()


def collected(findings: list[Finding], errors: list[str]) -> Provenance:
    """Return what was found, in its order, each once."""
    ordered = sorted(dict.fromkeys(findings), key=lambda each: each._rank)
    return Provenance(tuple(ordered), tuple(dict.fromkeys(errors)))


def shortened(text: str) -> str:
    """Return a stranger's text as it is kept: in one line, not too long, and safe in a table.

    A spreadsheet would run what begins like a formula, and a terminal obey control characters.
    """
    line = printable(" ".join(text[: 4 * MOST_LETTERS].split())).lstrip("=+-@ ")
    return line if len(line) <= MOST_LETTERS else f"{line[: MOST_LETTERS - 1]}…"
