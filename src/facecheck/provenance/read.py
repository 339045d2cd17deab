"""From a file to what it says of its own origin: the one entrance of this room."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from facecheck.core.errors import ImageError
from facecheck.core.files import path_text, to_path
from facecheck.core.image.decoding import open_image
from facecheck.provenance.alpha import hidden_fields
from facecheck.provenance.blocks import BlockError, read_blocks
from facecheck.provenance.credentials import CredentialsError, read_credentials, read_trust
from facecheck.provenance.evidence import (
    Claim,
    Finding,
    Provenance,
    State,
    Witness,
    collected,
    shortened,
)
from facecheck.provenance.fields import Field, FieldError, fields_of
from facecheck.provenance.marks import Marks, load_marks
from facecheck.provenance.options import EvidenceOptions
from facecheck.provenance.source_types import claim_of
from facecheck.provenance.tiff import TagError

#: Fields that name a program, whatever it is.
_PROGRAMS = (
    *("xmp.CreatorTool", "exif.Software", "text.Software", "iptc.OriginatingProgram"),
    "xmp.Software",
)
#: Findings of one file; a stranger may repeat a mark as often as a bound on blocks lets him.
_MOST_FINDINGS = 64


@dataclass(frozen=True)
class Evidence:
    """What files are checked against. It can be sent between processes.

    Attributes:
        trust: certificates besides the C2PA Trust List's, PEM text.
        marks: the table of marks.
        manifests: whether C2PA manifests are read, which takes native code.
    """

    trust: str
    marks: Marks
    manifests: bool = True


def load_evidence(options: EvidenceOptions = EvidenceOptions()) -> Evidence:
    """Return what files are to be checked against.

    Raises:
        ConfigError: a file that the options name cannot be read.
    """
    return Evidence(read_trust(options.trust), load_marks(options.marks))


def read_provenance(source: Path | str | bytes, evidence: Evidence | None = None) -> Provenance:
    """Return what a file says of its own origin, without decoding it.

    Only a PNG in whose alpha channel a text begins is decoded, for that text.

    What cannot be read is an error of the result; what was found before it still counts.

    Args:
        source: an image file, or what is in one.
        evidence: what to check against; None for the package's own lists.

    Raises:
        ImageError: the file cannot be opened; the message names it.
    """
    if isinstance(source, bytes):
        return provenance_of(source, evidence)
    path = to_path(source, "an image file")
    try:
        return provenance_of(path, evidence)
    except ImageError as error:
        raise ImageError(f"{path_text(path)}: {error}") from None


def provenance_of(source: Path | bytes, evidence: Evidence | None = None) -> Provenance:
    """Return what :func:`read_provenance` does; its errors do not name the file.

    What cannot be read is an error of the result; what was found before it still counts.

    Args:
        source: an image file, or what is in one.
        evidence: what to check against; None for the package's own lists.

    Raises:
        ImageError: the file cannot be opened.
    """
    evidence = evidence or load_evidence()
    with _opened(source) as stream:
        return _read(stream, evidence)


def without_manifest(provenance: Provenance, why: str) -> Provenance:
    """Return what a file says where its C2PA manifest could not be read, and why."""
    finding = Finding(Witness.C2PA, Claim.OTHER, State.UNREAD, where="C2PA manifest")
    return collected([*provenance.findings, finding], [*provenance.errors, why])


def has_manifest(source: Path | bytes) -> bool:
    """Return whether a file holds a C2PA manifest: whether native code reads it."""
    try:
        with _opened(source) as stream:
            return any(block.kind == "c2pa" for block in read_blocks(stream))
    except (ImageError, BlockError, TagError):
        return False


@contextmanager
def _opened(source: Path | bytes) -> Iterator[BinaryIO]:
    if isinstance(source, bytes):
        yield BytesIO(source)
    else:
        with open_image(source) as stream:
            yield stream


def _read(stream: BinaryIO, evidence: Evidence) -> Provenance:
    fields, errors, signed = _fields(stream)
    findings = list(islice(_findings(fields, evidence.marks), _MOST_FINDINGS))
    if signed and evidence.manifests:
        try:
            findings += read_credentials(stream, evidence.trust)
        except CredentialsError as error:
            return without_manifest(collected(findings, errors), str(error))
    return collected(findings, errors)


def _fields(stream: BinaryIO) -> tuple[list[Field], list[str], bool]:
    """Return the fields of a file, what could not be read, and whether it has a C2PA manifest."""
    fields: list[Field] = []
    errors: list[str] = []
    signed = False
    try:
        for block in read_blocks(stream):
            if block.kind == "c2pa":
                signed = True
                continue
            place = stream.tell()
            try:
                fields.extend(fields_of(block, stream))
            except FieldError as error:
                errors.append(str(error))
            stream.seek(place)
    except (BlockError, TagError) as error:
        errors.append(str(error))
    fields.extend(hidden_fields(stream))
    return fields, errors, signed


def _findings(fields: list[Field], marks: Marks) -> Iterator[Finding]:
    programs: list[Finding] = []
    named: dict[str, str] = {}
    marked: set[str] = set()
    for field in fields:
        for finding in marks.find(field):
            marked.add(field.place)
            yield finding
        if field.place == "xmp.DigitalSourceType":
            yield _source_type(field, fields)
        elif field.place == "xmp.provenance" and field.value.startswith(("http:", "https:")):
            yield _remote(field)
        elif field.place in ("exif.Make", "exif.Model"):
            named.setdefault(field.place, shortened(field.value))
        if field.place in _PROGRAMS and field.place not in marked:
            maker = shortened(field.value)
            programs.append(
                Finding(Witness.SOFTWARE, Claim.OTHER, maker=maker, where=field.words, value=maker)
            )
    if len(named) == 2 and not marked & set(named):
        make, model = named["exif.Make"], named["exif.Model"]
        camera = model if model.lower().startswith(make.lower()) else shortened(f"{make} {model}")
        yield Finding(
            Witness.EXIF, Claim.CAPTURE, maker=camera, where="EXIF Make, Model", value=camera
        )
    yield from programs


def _source_type(field: Field, fields: list[Field]) -> Finding:
    """Return the finding of a digital source type, its maker as the fields next to it name it."""
    by_place = {each.place: each.value for each in reversed(fields)}
    names = ("xmp.AISystemUsed", "xmp.Credit", "iptc.Credit", *_PROGRAMS)
    maker = next((by_place[name] for name in names if by_place.get(name)), "")
    return Finding(
        Witness.IPTC,
        claim_of(field.value),
        maker=shortened(maker),
        where=field.words,
        value=shortened(field.value),
    )


def _remote(field: Field) -> Finding:
    return Finding(
        Witness.C2PA,
        Claim.OTHER,
        State.REMOTE,
        where=field.words,
        value=shortened(field.value),
    )
