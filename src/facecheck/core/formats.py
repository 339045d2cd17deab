"""What a file is, by its first bytes: whatever it is called, and whether or not we can read it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import PurePath

#: Bytes from a file's start that :func:`identify` needs.
HEAD = 4096
#: What Pillow reads by itself (JPEG covers MPO). A closed list: some of its other readers start
#: outside programs.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM")
#: Read where an extra is installed: by Pillow's name, the users' name and the extra.
EXTRAS = {"HEIF": ("HEIC", "heif"), "JXL": ("JPEG XL", "jxl")}
#: File-name endings, lower case, that index and scan take for an image.
SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib",
    ".tif", ".tiff", ".avif", ".avifs", ".ppm", ".pgm", ".pbm", ".pnm", ".heic", ".heics", ".heif",
    ".heifs", ".hif", ".jxl",
})  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """What a file is.

    Attributes:
        name: with its article, such as ``a PDF document``.
        reader: Pillow's name of the reader for it; empty where we read no such file.
        image: whether it shows a picture, though we may not read it.
    """

    name: str
    reader: str = ""
    image: bool = False


def is_image_name(path: PurePath | str) -> bool:
    """Return whether the ending of ``path`` is one of :data:`SUFFIXES`, in any case."""
    # A walk over millions of files asks with text, and a path object takes ten times as long.
    stem, _, ending = os.path.basename(path).rpartition(".")  # noqa: PTH119
    return bool(stem) and f".{ending.lower()}" in SUFFIXES


def identify(head: bytes) -> Kind | None:
    """Return what a file is by its first :data:`HEAD` bytes; None where they say nothing.

    Signatures from the formats' specifications and from the "MIME Sniffing" standard (WHATWG).
    """
    signed = next((kind for start, kind in _SIGNATURES if head.startswith(start)), None)
    return signed or _box_file(head) or _later_signature(head) or _text(head) or _embedded(head)


def _later_signature(head: bytes) -> Kind | None:
    """Return what a file is whose signature is not at its start, or has a part that varies."""
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12], Kind("a RIFF file"))
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return Kind("a WebM video" if b"webm" in head[:64] else "a Matroska video")
    if head[257:262] == b"ustar":
        return Kind("a tar archive")
    return _image("a DICOM image") if head[128:132] == b"DICM" else None


def _image(name: str, reader: str = "") -> Kind:
    return Kind(name, reader, image=True)


_JPEG, _PNG = _image("a JPEG", "JPEG"), _image("a PNG", "PNG")
_HEIC, _AVIF = _image("a HEIC image", "HEIF"), _image("an AVIF image", "AVIF")
_JXL, _JP2 = _image("a JPEG XL image", "JXL"), _image("a JPEG 2000 image")
_RAW = _image("a camera's raw photograph")

#: Longer signatures come before the shorter ones that they begin with.
_SIGNATURES: tuple[tuple[bytes, Kind], ...] = (
    (b"\xff\xd8", _JPEG),
    (b"\x89PNG", _PNG),
    (b"GIF87a", _image("a GIF", "GIF")),
    (b"GIF89a", _image("a GIF", "GIF")),
    (b"II*\0\x10\0\0\0CR", _RAW),
    (b"II*\0", _image("a TIFF", "TIFF")),
    (b"MM\0*", _image("a TIFF", "TIFF")),
    (b"II+\0", _image("a BigTIFF", "TIFF")),
    (b"MM\0+", _image("a BigTIFF", "TIFF")),
    *((b"P%d" % digit, _image("a PNM image", "PPM")) for digit in range(1, 7)),
    (b"Pf\n", _image("a PFM image", "PPM")),
    (b"PF\n", _image("a PFM image", "PPM")),
    (b"\0\0\0\x0cJXL \r\n\x87\n", _JXL),
    (b"\xff\x0a", _JXL),
    (b"\0\0\0\x0cjP  \r\n\x87\n", _JP2),
    (b"\xff\x4f\xff\x51", _JP2),
    (b"8BPS", _image("a Photoshop document")),
    (b"gimp xcf", _image("a GIMP document")),
    (b"\0\0\1\0", _image("an icon (ICO)")),
    (b"\0\0\2\0", _image("a cursor (CUR)")),
    (b"icns", _image("an icon (ICNS)")),
    (b"qoif", _image("a QOI image")),
    (b"DDS ", _image("a DDS texture")),
    (b"\x76\x2f\x31\x01", _image("an OpenEXR image")),
    (b"#?RADIANCE", _image("a Radiance HDR image")),
    (b"AT&TFORM", _image("a DjVu document")),
    (b"BPG\xfb", _image("a BPG image")),
    (b"FLIF", _image("a FLIF image")),
    (b"\x8aMNG\r\n\x1a\n", _image("an MNG animation")),
    (b"\x8bJNG\r\n\x1a\n", _image("a JNG image")),
    (b"FUJIFILMCCD-RAW", _RAW),
    (b"IIRO", _RAW),
    (b"IIRS", _RAW),
    (b"IIU\0", _RAW),
    (b"FOVb", _RAW),
    (b"\0MRM", _RAW),
    (b"\xd7\xcd\xc6\x9a", _image("a Windows metafile")),
    (b"%PDF-", Kind("a PDF document")),
    (b"%!PS", Kind("a PostScript document")),
    (b"\xc5\xd0\xd3\xc6", Kind("a PostScript document")),
    (b"PK\x03\x04", Kind("a zip archive or an Office document")),
    (b"PK\x05\x06", Kind("an empty zip archive")),
    (b"Rar!\x1a\x07", Kind("a RAR archive")),
    (b"7z\xbc\xaf\x27\x1c", Kind("a 7-Zip archive")),
    (b"\x1f\x8b", Kind("a gzip file")),
    (b"BZh", Kind("a bzip2 file")),
    (b"\xfd7zXZ\0", Kind("an xz file")),
    (b"\x28\xb5\x2f\xfd", Kind("a Zstandard file")),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Kind("an Office document")),
    (b"{\\rtf", Kind("an RTF document")),
    (b"\0\x05\x16\x07", Kind("a Mac's AppleDouble file")),
    (b"\0\x05\x16\0", Kind("a Mac's AppleSingle file")),
    (b"SQLite format 3\0", Kind("an SQLite database")),
    (b"\x89HDF\r\n\x1a\n", Kind("an HDF5 file")),
    (b"\x93NUMPY", Kind("a NumPy array")),
    (b"\x7fELF", Kind("a program")),
    (b"MZ", Kind("a Windows program")),
    (b"OggS", Kind("an Ogg audio or video file")),
    (b"fLaC", Kind("a FLAC audio file")),
    (b"ID3", Kind("an MP3 audio file")),
    (b"FLV\x01", Kind("a Flash video")),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Kind("a Windows Media file")),
    (b"\0\0\1\xba", Kind("an MPEG video")),
    (b"\0\0\1\xb3", Kind("an MPEG video")),
    (b"version https://git-lfs", Kind("a Git LFS pointer, whose file was not fetched")),
    (b"BM", _image("a BMP", "BMP")),
)
_RIFF = {
    b"WEBP": _image("a WebP image", "WEBP"),
    b"AVI ": Kind("an AVI video"),
    b"WAVE": Kind("a WAV audio file"),
}
#: First boxes of files of the ISO base media family (ISO/IEC 14496-12) and of QuickTime.
_BOXES = frozenset((b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"))
_HEVC_BRANDS = frozenset(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"heif")
)
_AVIF_BRANDS = frozenset((b"avif", b"avis", b"avio"))
#: Brands of still pictures and picture sequences that leave the coding open.
_HEIF_BRANDS = frozenset((b"mif1", b"mif2", b"mif3", b"msf1", b"miaf", b"MiHB", b"MiHE", b"1pic"))


#: What the first brand says alone.
_BRANDS = {
    **dict.fromkeys(_AVIF_BRANDS, _AVIF),
    **dict.fromkeys(_HEVC_BRANDS, _HEIC),
    **dict.fromkeys((b"jp2 ", b"jpx ", b"jpm "), _JP2),
    **dict.fromkeys((b"M4A ", b"M4B ", b"M4P "), Kind("an MPEG-4 audio file")),
    b"jxl ": _JXL,
    b"crx ": _RAW,
    b"qt  ": Kind("a QuickTime video"),
}


def _box_file(head: bytes) -> Kind | None:
    """Return what a file of boxes is: by its brands, the first of which is its own."""
    if head[4:8] not in _BOXES:
        return None
    if head[4:8] != b"ftyp":
        return Kind("a QuickTime or MP4 video")
    end = min(max(16, int.from_bytes(head[:4])), 256, len(head))
    first, known = head[8:12], {head[at : at + 4] for at in (8, *range(16, end, 4))}
    if first in _BRANDS:
        return _BRANDS[first]
    if not known & (_HEIF_BRANDS | _HEVC_BRANDS | _AVIF_BRANDS):
        return Kind("an MP4 video")
    # The item's coding decides where no brand does.
    av1 = known & _AVIF_BRANDS or (b"av01" in head and b"hvc1" not in head)
    return _AVIF if av1 and not known & _HEVC_BRANDS else _HEIC


_HTML = re.compile(
    rb"<(?:!doctype\s+html|html|head|body|script|iframe|title|meta|style|div|table|br|p|a|h1|b)"
    rb"[\s/>]",
    re.IGNORECASE,
)
_COMMENTS = re.compile(rb"(?:\s|<\?.*?\?>|<!--.*?-->|<!DOCTYPE svg[^>]*>)*", re.DOTALL)


def _text(head: bytes) -> Kind | None:
    """Return what a file of text is: a page, a drawing, or other text; None where it is no text."""
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if head.startswith(mark):
            head = head[2:].decode(encoding, "replace").encode()
    body = head.removeprefix(b"\xef\xbb\xbf")
    begins = _COMMENTS.match(body)
    content = body[begins.end() if begins else 0 :]
    if _HTML.match(content):
        return Kind("an HTML page")
    if b"<svg" in content[:256].lower():
        return _image("an SVG drawing")
    if b"%PDF-" in head[:1024]:
        return Kind("a PDF document")
    return _other_text(body.lstrip()) if not _EMBEDDED.search(head) else None


def _other_text(body: bytes) -> Kind | None:
    # The last letter may be cut in two.
    if not body or b"\0" in body or "\ufffd" in body.decode(errors="replace")[:-4]:
        return None
    if body.startswith(b"<?xml"):
        return Kind("an XML document")
    return Kind("a JSON file" if body.startswith((b"{", b"[")) else "a text file")


_EMBEDDED = re.compile(rb"\xff\xd8\xff[\xdb\xe0-\xef\xfe]|\x89?PNG\r?\n\x1a?\r?\n")


def _embedded(head: bytes) -> Kind | None:
    """Return what a file with something before, or wrong in, the signature of an image is."""
    if not head.strip(b"\0"):
        return Kind("a file of zeros")
    found = _EMBEDDED.search(head)
    if not found:
        return None
    name = "JPEG" if found[0].startswith(b"\xff\xd8") else "PNG"
    if found.start():
        return _image(f"a {name} behind {found.start():,} other bytes")
    return _image(f"a {name} whose first bytes are damaged")
