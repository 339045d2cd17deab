"""Blocks of metadata as fields: ``exif.Software``, ``xmp.Credit``, ``iptc.Credit``, ``text.…``.

What is written in them is a stranger's: it is read, cut to a length, and never run or followed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO
from xml.parsers import expat

from facecheck.provenance import tiff
from facecheck.provenance.blocks import Block

#: Letters that are kept of one field. Settings of generators and workflows are longer, but say
#: what they are at their beginning.
MOST_LETTERS = 65_536
#: Properties of one XMP packet.
MOST_PROPERTIES = 2000
_MOST_DEPTH = 100


class FieldError(ValueError):
    """A block that does not hold what it should."""


@dataclass(frozen=True)
class Field:
    """One named text of a file.

    Attributes:
        place: where it is: ``exif.``, ``xmp.``, ``iptc.``, ``text.`` or ``alpha.`` and its name.
        value: what is written there.
    """

    place: str
    value: str

    @property
    def words(self) -> str:
        """Where it is, as people say it: ``XMP CreatorTool``."""
        kind, _, name = self.place.partition(".")
        kinds = {"text": "text", "alpha": "alpha channel"}
        return f"{kinds.get(kind, kind.upper())} {name}"


def fields_of(block: Block, stream: BinaryIO) -> Iterator[Field]:
    """Yield the fields of a block.

    Args:
        block: as :func:`~facecheck.provenance.blocks.read_blocks` yields it.
        stream: the file, which a TIFF's own tags are read from.

    Raises:
        FieldError: it is damaged, or XMP that defines entities. Fields before it were yielded.
    """
    if block.kind == "text":
        yield Field(f"text.{block.key}", _text(block.data))
    elif block.kind == "exif":
        yield from _exif(BytesIO(block.data) if block.data else stream)
    elif block.kind == "iptc":
        yield from _iptc(block.data)
    elif block.kind == "xmp":
        yield from _xmp(block.data)


def _text(data: bytes) -> str:
    data = data[: 4 * MOST_LETTERS]
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return text.strip("\0 \r\n\t")[:MOST_LETTERS]


def _exif(stream: BinaryIO) -> Iterator[Field]:
    names = tiff.MAIN | tiff.EXIF
    try:
        for tag, data in tiff.read_tags(stream, names, 0, MOST_LETTERS):
            value = _comment(data) if names[tag] == "UserComment" else _text(data)
            if value:
                yield Field(f"exif.{names[tag]}", value)
    except tiff.TagError as error:
        raise FieldError(str(error)) from None


def _comment(data: bytes) -> str:
    """Return a UserComment: eight bytes say how it is written, in UTF-16 of either order."""
    code, rest = data[:8], data[8:]
    if code == b"UNICODE\0":
        order = "utf-16-le" if rest[1::2].count(0) >= rest[::2].count(0) else "utf-16-be"
        return rest.decode(order, "replace").strip("\0 ")[:MOST_LETTERS]
    return _text(rest if code in (b"ASCII\0\0\0", bytes(8)) else data)


#: Data sets of IPTC-IIM record 2, by number (IIM 4.2).
_IPTC = {
    40: "SpecialInstructions",
    65: "OriginatingProgram",
    80: "By-line",
    110: "Credit",
    115: "Source",
    120: "Caption",
}


def _iptc(data: bytes) -> Iterator[Field]:
    at = 0
    while at + 5 <= len(data) and data[at] == 0x1C:
        record, number = data[at + 1], data[at + 2]
        length = int.from_bytes(data[at + 3 : at + 5])
        if length & 0x8000:  # an extended data set, and these are never so long
            return
        if record == 2 and number in _IPTC:
            yield Field(f"iptc.{_IPTC[number]}", _text(data[at + 5 : at + 5 + length]))
        at += 5 + length


#: Elements of RDF that only group values.
_CONTAINERS = frozenset(("xmpmeta", "xapmeta", "RDF", "Description", "Seq", "Bag", "Alt", "li"))


def _xmp(data: bytes) -> Iterator[Field]:
    """Yield the properties of an XMP packet: attributes, texts and resources, by local name."""
    reader = _XmpReader()
    try:
        yield from reader.read(data)
    except (expat.ExpatError, UnicodeError) as error:
        yield from reader.found
        raise FieldError(f"XMP that is not XML: {error}") from None


class _XmpReader:
    """Collects the properties of one XMP packet; a document that defines entities is refused."""

    def __init__(self) -> None:
        self.found: list[Field] = []
        self._names: list[str] = []
        self._text: list[str] = []
        self._letters = 0

    def read(self, data: bytes) -> list[Field]:
        start, end = data.find(b"<"), data.rfind(b">")
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._begin
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._add
        parser.StartDoctypeDeclHandler = _refuse
        parser.EntityDeclHandler = _refuse
        if start >= 0:
            parser.Parse(data[start : end + 1], True)
        return self.found

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._names) >= _MOST_DEPTH:
            raise FieldError(f"XMP of more than {_MOST_DEPTH} levels")
        self._names.append(name.rpartition(":")[2])
        self._text, self._letters = [], 0
        for key, value in attributes.items():
            prefix, _, local = key.rpartition(":")
            if local == "resource":
                self._keep(self._property(), value)
            elif prefix not in ("xmlns", "xml", "rdf") and key != "xmlns":
                self._keep(local, value)

    def _end(self, _name: str) -> None:
        text = "".join(self._text).strip()
        if text:
            self._keep(self._property(), text)
        self._text, self._letters = [], 0
        self._names.pop()

    def _add(self, text: str) -> None:
        if self._letters < MOST_LETTERS:
            self._text.append(text)
            self._letters += len(text)

    def _property(self) -> str:
        return next((name for name in reversed(self._names) if name not in _CONTAINERS), "")

    def _keep(self, name: str, value: str) -> None:
        if len(self.found) >= MOST_PROPERTIES:
            raise FieldError(f"XMP of more than {MOST_PROPERTIES:,} properties")
        if name:
            self.found.append(Field(f"xmp.{name}", value[:MOST_LETTERS]))


def _refuse(*_: object) -> None:
    raise FieldError("XMP that defines entities, which is not read")
