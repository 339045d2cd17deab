"""The other formats: whole, damaged, turned, of several frames, and files of no image."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from PIL import Image

from tests.odd_images.common import (
    HEIGHT,
    WIDTH,
    Odd,
    alpha_samples,
    colour_samples,
    encoded,
    exif_of,
    grey_samples,
    over_white,
    picture,
    rgb_of,
    triple,
)
from tests.odd_images.tiff import LONG, SHORT, UNDEFINED, tiff


def other_formats() -> Iterator[Odd]:
    """What Pillow writes: every mode in every format that takes it."""
    image, alpha = picture(), Image.fromarray(alpha_samples().astype(np.uint8))
    clear = image.copy()
    clear.putalpha(alpha)
    wanted, white = rgb_of(image), over_white(colour_samples(), alpha_samples())
    grey = image.convert("L")
    few = image.quantize(16)
    for name, made, kind, options, pixels, tolerance in (
        ("rgb.bmp", image, "BMP", {}, wanted, 0),
        ("grey.bmp", grey, "BMP", {}, rgb_of(grey), 0),
        ("one.bmp", image.convert("1"), "BMP", {}, rgb_of(image.convert("1")), 0),
        ("palette.bmp", few, "BMP", {}, rgb_of(few), 0),
        ("palette.gif", few, "GIF", {}, rgb_of(few), 0),
        ("grey.gif", grey, "GIF", {}, rgb_of(grey), 0),
        ("interlaced.gif", few, "GIF", {"interlace": 1}, rgb_of(few), 0),
        ("rgb.ppm", image, "PPM", {}, wanted, 0),
        ("grey.pgm", grey, "PPM", {}, rgb_of(grey), 0),
        ("one.pbm", image.convert("1"), "PPM", {}, rgb_of(image.convert("1")), 0),
        ("lossless.webp", image, "WEBP", {"lossless": True}, wanted, 0),
        ("lossy.webp", image, "WEBP", {"quality": 95}, wanted, 8),
        ("clear.webp", clear, "WEBP", {"lossless": True, "exact": True}, white, 0.6),
        ("rgb.avif", image, "AVIF", {"quality": 95, "subsampling": "4:4:4"}, wanted, 4),
        ("clear.avif", clear, "AVIF", {"quality": 95, "subsampling": "4:4:4"}, white, 4),
        ("grey.avif", grey, "AVIF", {"quality": 95}, rgb_of(grey), 3),
        ("rgb.jpg", image, "JPEG", {"quality": 95, "subsampling": 0}, wanted, 3),
        ("chroma.jpg", image, "JPEG", {"quality": 95, "subsampling": 2}, wanted, 8),
        ("progressive.jpg", image, "JPEG", {"quality": 95, "progressive": True}, wanted, 8),
        ("grey.jpg", grey, "JPEG", {"quality": 95}, rgb_of(grey), 3),
        ("cmyk.jpg", image.convert("CMYK"), "JPEG", {"quality": 95}, wanted, 3),
        ("rgba.tif", clear, "TIFF", {}, white, 0.6),
        ("palette.tif", few, "TIFF", {}, rgb_of(few), 0),
        ("ycbcr.tif", image.convert("YCbCr"), "TIFF", {}, wanted, 1.5),
        ("one.tif", image.convert("1"), "TIFF", {"compression": "group4"},
         rgb_of(image.convert("1")), 0),
    ):  # fmt: skip
        yield Odd(name, encoded(made, kind, **options), pixels, tolerance)
    for most in (255, 1023, 4095, 65535):
        samples = (grey_samples() * most) // 255
        data = samples.astype("u1" if most == 255 else ">u2").tobytes()
        head = b"P5\n# a comment\n%d %d\n%d\n" % (WIDTH, HEIGHT, most)
        yield Odd(f"max{most}.pgm", head + data, triple((samples * 255) // most), 1)
        colours = (colour_samples() * most) // 255
        data = colours.astype("u1" if most == 255 else ">u2").tobytes()
        head = b"P6 %d %d %d\n" % (WIDTH, HEIGHT, most)
        yield Odd(f"max{most}.ppm", head + data, ((colours * 255) // most).astype(np.uint8), 1)


def other_damages() -> Iterator[Odd]:
    image = picture()
    wanted = rgb_of(image)
    plain = encoded(image, "WEBP", lossless=True)
    bad = encoded(image, "WEBP", lossless=True, exif=b"Exif\0\0xx")
    yield Odd("exif-garbage.webp", bad, wanted, says="EXIF")
    full = encoded(image, "WEBP", lossless=True, exif=exif_of(1), icc_profile=b"garbage" * 20)
    yield Odd("icc-garbage.webp", full, wanted, says="ICC profile")
    full = encoded(image, "WEBP", lossless=True, exif=exif_of(1))
    yield Odd("exif-cut.webp", full[:-4], wanted, says="?")
    yield Odd("garbage-behind.webp", plain + b"garbage", wanted)
    longer = plain[:4] + struct.pack("<I", len(plain) + 100) + plain[8:]
    yield Odd("riff-long.webp", longer, wanted, says="?")
    for share in (0.3, 0.9):
        cut = plain[: int(len(plain) * share)]
        yield Odd(f"cut{share}.webp", cut, None, says="truncated")
    bmp = encoded(image, "BMP")
    yield Odd("cut.bmp", bmp[: len(bmp) // 2], None, says="truncated")
    lied = bmp[:2] + struct.pack("<I", 1) + bmp[6:]
    yield Odd("size-wrong.bmp", lied, wanted)
    narrow = image.crop((0, 0, 71, HEIGHT))
    yield Odd("no-padding.bmp", encoded(narrow, "BMP")[:-3], rgb_of(narrow), says="?")
    ppm = encoded(image, "PPM")
    yield Odd("cut.ppm", ppm[:-10], None, says="truncated")
    few = image.quantize(16)
    gif = encoded(few, "GIF")
    yield Odd("no-trailer.gif", gif[:-1], rgb_of(few), says="?")
    yield Odd("garbage-behind.gif", gif + b"garbage", rgb_of(few))
    yield Odd("cut.gif", gif[: len(gif) // 2], None, says="truncated")
    comment = gif[: 13 + 48] + b"!\xfe\x04abcd\0" + gif[13 + 48 :]
    yield Odd("comment.gif", comment, rgb_of(few), says="?")
    for number, kind in ((34665, LONG), (34853, LONG), (330, LONG)):
        made = tiff(colour_samples(), 8, 2, tags=((number, kind, struct.pack("<I", 0xFFFFFF)),))
        yield Odd(f"ifd{number}.tif", made, wanted, says="?")
    for number in (700, 33723, 34377, 34675, 270, 305, 306):
        made = tiff(colour_samples(), 8, 2, tags=((number, UNDEFINED, b"garbage!" * 9),))
        yield Odd(f"tag{number}.tif", made, wanted, says="?")
    made = tiff(
        colour_samples(), 8, 2, tags=((282, 5, b"\0\0\0\0\0\0\0\0"), (296, SHORT, b"\x63\0"))
    )
    yield Odd("resolution.tif", made, wanted, says="?")
    whole = tiff(colour_samples(), 8, 2)
    place = struct.unpack("<I", whole[4:8])[0]
    entries = struct.unpack("<H", whole[place : place + 2])[0]
    pointer = place + 2 + 12 * entries
    for name, next_page in (("next-garbage", 0xFFFFFFF0), ("next-loop", place), ("next-odd", 9)):
        made = whole[:pointer] + struct.pack("<I", next_page) + whole[pointer + 4 :]
        yield Odd(f"{name}.tif", made, wanted, says="?")
    packed = encoded(image, "TIFF", compression="tiff_lzw")
    yield Odd("cut.tif", packed[: len(packed) // 2], None, says="?")
    avif = encoded(image, "AVIF", quality=95, subsampling="4:4:4")
    yield Odd("cut.avif", avif[:-30], None, says="truncated")
    yield Odd("garbage-behind.avif", avif + bytes(4), wanted, 4)
    turned = encoded(image, "AVIF", quality=95, subsampling="4:4:4", exif=exif_of(1))
    yield Odd("exif-garbage.avif", turned.replace(b"MM\0*", b"??\0*"), wanted, 4, says="?")


def turns() -> Iterator[Odd]:
    """All EXIF orientations, in every format that has one."""
    undo = {
        1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    image = picture()
    clear = image.copy()
    clear.putalpha(Image.fromarray(alpha_samples().astype(np.uint8)))
    for turn, way in undo.items():
        stored = image if way is None else image.transpose(way)
        faint = clear if way is None else clear.transpose(way)
        for ending, kind, options, tolerance in (
            ("jpg", "JPEG", {"quality": 95, "subsampling": 0}, 3), ("png", "PNG", {}, 0),
            ("webp", "WEBP", {"lossless": True}, 0), ("tif", "TIFF", {}, 0),
            ("avif", "AVIF", {"quality": 95, "subsampling": "4:4:4"}, 4),
        ):  # fmt: skip
            made = encoded(stored, kind, exif=exif_of(turn), **options)
            yield Odd(f"turn{turn}.{ending}", made, rgb_of(image), tolerance)
        made = encoded(faint, "PNG", exif=exif_of(turn))
        yield Odd(f"turn{turn}-clear.png", made, over_white(colour_samples(), alpha_samples()), 0.6)
    for wrong in (0, 9, 255):
        yield Odd(f"turn{wrong}.png", encoded(image, "PNG", exif=exif_of(wrong)), rgb_of(image))


def frames() -> Iterator[Odd]:
    """Animations and files of several pages; the first is what is shown."""
    several = [picture(seed) for seed in range(3)]
    for name, kind, options, tolerance in (
        ("several.gif", "GIF", {}, 6), ("several.png", "PNG", {}, 0),
        ("several.tif", "TIFF", {}, 0),
        ("several.webp", "WEBP", {"lossless": True}, 0),
        ("several.avif", "AVIF", {"quality": 95, "subsampling": "4:4:4"}, 4),
    ):  # fmt: skip
        made = encoded(several[0], kind, save_all=True, append_images=several[1:], **options)
        yield Odd(name, made, rgb_of(several[0]), tolerance, says="frame 1 of 3")


def no_images() -> Iterator[Odd]:
    """Files of other kinds, and what each is called."""
    for name, content, says in (
        ("a.pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj", "a PDF document"),
        ("late.pdf", b"junk\n" * 9 + b"%PDF-1.4\n\0\1", "a PDF document"),
        ("a.html", b"<!DOCTYPE html><html><body>403</body></html>", "an HTML page"),
        ("plain.html", b"\xef\xbb\xbf  <!-- a -->\n<HTML><head>", "an HTML page"),
        ("wide.html", b"\xff\xfe" + "<html><p>".encode("utf-16-le"), "an HTML page"),
        ("a.svg", b'<?xml version="1.0"?>\n<!-- made -->\n<svg xmlns="a">', "an SVG drawing"),
        ("bare.svg", b"<svg width='9'/>", "an SVG drawing"),
        ("a.xml", b"<?xml version='1.0'?><feed/>", "an XML document"),
        ("a.json", b'{"error": "not found"}', "a JSON file"),
        ("a.txt", b"not a picture", "a text file"),
        ("a.mp4", b"\0\0\0\x18ftypisom\0\0\2\0isomiso2", "an MP4 video"),
        ("a.mov", b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "a QuickTime video"),
        ("old.mov", b"\0\0\0\x08wide\0\0\1\0mdat", "video"),
        ("a.mkv", b"\x1a\x45\xdf\xa3\xa3B\x82\x88matroska", "a Matroska video"),
        ("a.webm", b"\x1a\x45\xdf\xa3\x9fB\x82\x84webmB", "a WebM video"),
        ("a.avi", b"RIFF\0\0\1\0AVI LIST", "an AVI video"),
        ("a.psd", b"8BPS\0\1" + bytes(20), "a Photoshop document"),
        ("a.jp2", b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 ", "a JPEG 2000 image"),
        ("a.j2k", b"\xff\x4f\xff\x51\0\x2f", "a JPEG 2000 image"),
        ("a.zip", b"PK\x03\x04\x14\0", "a zip archive"),
        ("a.rar", b"Rar!\x1a\x07\x01\0", "a RAR archive"),
        ("a.7z", b"7z\xbc\xaf\x27\x1c\0\4", "a 7-Zip archive"),
        ("a.gz", b"\x1f\x8b\x08\0", "a gzip file"),
        ("a.tar", bytes(257) + b"ustar\x0000" + bytes(248), "a tar archive"),
        ("a.ico", b"\0\0\1\0\1\0\x10\x10", "an icon"),
        ("a.exe", b"MZ\x90\0", "a Windows program"),
        ("a.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document"),
        ("._a.jpg", b"\0\x05\x16\x07\0\2\0\0", "AppleDouble"),
        ("a.cr2", b"II*\0\x10\0\0\0CR\2\0" + bytes(9), "raw photograph"),
        ("lfs.jpg", b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer"),
        ("zeros.jpg", bytes(5000), "a file of zeros"),
        ("noise.jpg", bytes([7, 250, 3, 0, 199] * 9), "not an image in a known format"),
        ("empty.jpg", b"", "empty"),
    ):  # fmt: skip
        yield Odd(name, content, None, says=says)
