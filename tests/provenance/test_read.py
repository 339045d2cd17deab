"""Marks, IPTC, XMP and EXIF, written by Pillow and read from the file's bytes."""

from __future__ import annotations

import json
import struct
import time
import zlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

from facecheck.core.errors import ConfigError, ImageError
from facecheck.provenance.evidence import Claim
from facecheck.provenance.marks import load_marks
from facecheck.provenance.options import EvidenceOptions
from facecheck.provenance.read import load_evidence, read_provenance
from tests.provenance.signing import TYPES

PICTURE = Image.effect_noise((48, 48), 60).convert("RGB")
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
    'syntax-ns#"><rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
    'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    'xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" {}>{}</rdf:Description></rdf:RDF>'
    "</x:xmpmeta>"
)


def saved(file_format: str = "PNG", **how: Any) -> bytes:
    stream = BytesIO()
    PICTURE.save(stream, file_format, **how)
    return stream.getvalue()


def png(texts: Mapping[str, str], **how: Any) -> bytes:
    info = PngInfo()
    for key, text in texts.items():
        info.add_itxt(key, text, zip=len(text) > 500)
    return saved(pnginfo=info, **how)


def exif(tags: Mapping[int, str | bytes], comment: bytes = b"") -> bytes:
    made = Image.Exif()
    made.update(tags)
    if comment:
        made.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = comment
    return made.tobytes()


def source_type(word: str, more: str = "") -> str:
    return XMP.format(f'Iptc4xmpExt:DigitalSourceType="{TYPES}{word}"', more)


def test_a_file_that_says_nothing_has_no_finding() -> None:
    for file_format in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"):
        found = read_provenance(saved(file_format))
        assert (found.short, found.generator, found.claim) == ("", "", "")


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_iptc_source_types_are_read_in_each_format(file_format: str) -> None:
    packet = source_type("trainedAlgorithmicMedia")
    if file_format == "PNG":
        file = png({"XML:com.adobe.xmp": packet})
    elif file_format == "TIFF":
        file = saved("TIFF", tiffinfo={700: packet.encode()})
    else:
        file = saved(file_format, xmp=packet.encode())
    assert read_provenance(file).short == "iptc:generated"


@pytest.mark.parametrize(
    ("word", "claim"),
    [
        ("trainedAlgorithmicMedia", Claim.GENERATED),
        ("compositeWithTrainedAlgorithmicMedia", Claim.COMPOSITE),
        ("compositeSynthetic", Claim.COMPOSITE),
        ("algorithmicMedia", Claim.GENERATED),
        ("digitalCapture", Claim.CAPTURE),
        ("digitalCreation", Claim.OTHER),
        ("compositeCapture", Claim.OTHER),
        ("somethingNew", Claim.OTHER),
    ],
)
def test_a_source_type_says_what_iptc_defines(word: str, claim: Claim) -> None:
    found = read_provenance(saved("JPEG", xmp=source_type(word).encode()))
    assert found.findings[0].claim == claim
    assert bool(found.artificial) == (claim in {Claim.GENERATED, Claim.COMPOSITE})
    assert found.trusted_capture is None  # nobody signed it


def test_xmp_is_read_as_attribute_element_resource_and_list() -> None:
    written = {
        f'<Iptc4xmpExt:DigitalSourceType rdf:resource="{TYPES}trainedAlgorithmicMedia"/>',
        f"<Iptc4xmpExt:DigitalSourceType>{TYPES}trainedAlgorithmicMedia"
        "</Iptc4xmpExt:DigitalSourceType>",
        "<photoshop:Credit><rdf:Alt><rdf:li>Made with Google AI</rdf:li></rdf:Alt>"
        "</photoshop:Credit>",
    }
    for element in written:
        found = read_provenance(saved("JPEG", xmp=XMP.format("", element).encode()))
        assert found.claim == "generated"


PARAMETERS = "a face\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512"
COMFY = json.dumps({"3": {"class_type": "KSampler", "inputs": {"seed": 5}}})


@pytest.mark.parametrize(
    ("file", "short"),
    [
        (png({"parameters": PARAMETERS}), "mark:stable-diffusion-webui"),
        (png({"parameters": PARAMETERS + ", Civitai resources: []"}), "mark:civitai"),
        (png({"prompt": COMFY, "workflow": '{"last_node_id": 9}'}), "mark:comfyui"),
        (png({"invokeai_metadata": "{}"}), "mark:invokeai"),
        (png({"parameters": '{"sui_image_params": {"prompt": "x"}}'}), "mark:swarmui"),
        (png({"fooocus_scheme": "fooocus"}), "mark:fooocus"),
        (png({"Software": "NovelAI", "Title": "AI generated image"}), "mark:novelai"),
        (png({"Description": "a cat --v 6 Job ID: 0cf3a3f1-2f36-4e5c"}), "mark:midjourney"),
        (saved("JPEG", exif=exif({305: "AI generated;txt2img;flux"})), "mark:flux"),
        (saved("JPEG", exif=exif({270: "Signature: " + "aB3/" * 22})), "mark:grok"),
        (
            saved("JPEG", exif=exif({}, b"UNICODE\0" + PARAMETERS.encode("utf-16-be"))),
            "mark:stable-diffusion-webui",
        ),
        (
            saved("WEBP", exif=exif({}, b"ASCII\0\0\0" + PARAMETERS.encode())),
            "mark:stable-diffusion-webui",
        ),
        (saved("WEBP", exif=exif({271: f"Prompt:{COMFY}"})), "mark:comfyui"),
        (
            png(
                {
                    "XML:com.adobe.xmp": XMP.format(
                        'TC260:AIGC="{&quot;Label&quot;:&quot;1&quot;}"', ""
                    )
                }
            ),
            "mark:aigc-label",
        ),
        (
            png({"XML:com.adobe.xmp": XMP.format('photoshop:Credit="Edited with Google AI"', "")}),
            "mark:google-ai-edit",
        ),
        (
            png({"XML:com.adobe.xmp": XMP.format('Iptc4xmpExt:AISystemUsed="Imagen 4"', "")}),
            "mark:iptc-ai-system",
        ),
        (saved("GIF", comment=PARAMETERS.encode()), "mark:stable-diffusion-webui"),
    ],
)
def test_generators_marks_are_known(file: bytes, short: str) -> None:
    found = read_provenance(file)
    assert short in found.short.split(";")
    assert found.artificial
    assert found.generator


def test_a_camera_and_a_program_are_shown_and_prove_nothing() -> None:
    file = saved("JPEG", exif=exif({271: "Canon", 272: "Canon EOS R5", 305: "Adobe Lightroom"}))
    found = read_provenance(file)
    assert found.short == "exif:camera;software"
    assert found.generator == "Canon EOS R5"
    assert (found.artificial, found.trusted_capture) == (None, None)


def test_an_unknown_program_is_reported_as_it_is() -> None:
    found = read_provenance(png({"Software": "Dreamer 3000"}))
    assert (found.short, found.generator) == ("software", "Dreamer 3000")


def test_a_mark_outweighs_a_camera() -> None:
    tags = exif({271: "Canon", 272: "EOS"}, b"ASCII\0\0\0" + PARAMETERS.encode())
    found = read_provenance(saved("JPEG", exif=tags))
    assert found.short == "mark:stable-diffusion-webui;exif:camera"
    assert found.generator == "Stable Diffusion web UI"


def test_words_that_a_prompt_may_hold_are_no_mark() -> None:
    for text in ("a prompt", "parameters of a photo", "Steps to the beach", "Job ID: 12"):
        assert not read_provenance(png({"parameters": text, "Description": text})).artificial


def test_what_would_run_elsewhere_is_made_harmless() -> None:
    maker = read_provenance(png({"Software": "=cmd|' /C calc'!A0\x1b[31m\nx"})).generator
    assert maker == "cmd|' /C calc'!A0\\x1b[31m x"
    assert len(read_provenance(png({"Software": "x" * 5000})).generator) == 200


def test_people_can_add_marks(tmp_path: Path) -> None:
    table = tmp_path / "more.yaml"
    table.write_text(
        "marks:\n  - {name: dreamer, maker: Dreamer, says: composite, fields: [text.Software], "
        "match: '^Dreamer', source: me}\n"
    )
    evidence = load_evidence(EvidenceOptions(marks=table))
    assert read_provenance(png({"Software": "Dreamer 3000"}), evidence).short == "mark:dreamer"
    for wrong, said in (
        ("[]", "write a list"),
        ("marks: [{name: x}]", "mark 1: needs"),
        (table.read_text().replace("composite", "nonsense"), "write generated or composite"),
        (table.read_text().replace("^Dreamer", "("), "no regular expression"),
    ):
        table.write_text(wrong)
        load_marks.cache_clear()
        with pytest.raises(ConfigError, match=said):
            load_evidence(EvidenceOptions(marks=table))


def test_every_mark_names_where_it_is_known_from() -> None:
    page = (Path(__file__).parents[2] / "docs" / "provenance.md").read_text()
    for mark in load_marks().marks:
        assert mark.source
        assert f"| `{mark.name}` | {mark.maker} | {mark.says} |" in page


def test_a_file_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="not there"):
        read_provenance(tmp_path / "none.png")


# ---- hostile files ----


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def with_chunks(*chunks: bytes) -> bytes:
    plain = saved()
    return plain[:33] + b"".join(chunks) + plain[33:]


BOMB = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    "<x:xmpmeta><x>&b;</x></x:xmpmeta>"
)


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (saved("JPEG", xmp=BOMB.encode()), "defines entities"),
        (saved("JPEG", xmp=BOMB.encode("utf-16")), "defines entities"),
        (saved("JPEG", xmp=b"<x>" * 5000 + b"</x>"), "levels"),
        (saved("JPEG", xmp=b"<a><b></a>"), "not XML"),
        (
            saved("JPEG", xmp=b"<a " + b"".join(b'b%d="1" ' % n for n in range(3000)) + b"/>"),
            "prop",
        ),
        (with_chunks(*[chunk(b"tEXt", b"a\0b")] * 2000), "blocks of metadata"),
        (with_chunks(*[chunk(b"teSt", b"")] * 250_000), "segments, chunks or boxes"),
        (with_chunks(chunk(b"tEXt", b"a\0" + bytes(9 << 20))), "more than 8 MB"),
        (with_chunks(*[chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(8 << 20)))] * 9), "24 MB"),
        (saved("JPEG", exif=b"Exif\0\0nonsense"), "TIFF header"),
    ],
)
def test_what_is_too_much_is_an_error_and_costs_little(file: bytes, said: str) -> None:
    began = time.process_time()
    found = read_provenance(file)
    assert time.process_time() - began < 1
    assert said in found.errors[0]
    assert "error: " in found.short


def test_what_was_found_before_a_bound_still_counts() -> None:
    mark = chunk(b"tEXt", b"parameters\0" + PARAMETERS.encode())
    found = read_provenance(with_chunks(mark, *[chunk(b"tEXt", b"a\0b")] * 2000))
    assert found.artificial
    assert found.short.startswith("mark:stable-diffusion-webui;error: ")


def test_deep_json_is_not_parsed() -> None:
    deep = '{"class_type": ' + "[" * 200_000
    assert read_provenance(png({"prompt": deep})).short == "mark:comfyui"


def test_many_tags_that_point_to_one_place_are_read_once_each_that_matters() -> None:
    count = 60_000
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", count)
    entry = struct.pack("<HHII", 4242, 7, 8 << 20, 0)
    data = head + entry * count + bytes(4)
    began = time.process_time()
    read_provenance(with_chunks(chunk(b"eXIf", data)))
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "AVIF"])
def test_files_cut_or_damaged_anywhere_are_read_or_an_error(file_format: str) -> None:
    packet = source_type("trainedAlgorithmicMedia").encode()
    how = {"tiffinfo": {700: packet}} if file_format == "TIFF" else {"xmp": packet}
    whole = saved(file_format, **({} if file_format in ("PNG", "GIF") else how))
    for at in range(0, len(whole), max(1, len(whole) // 60)):
        read_provenance(whole[:at])
        read_provenance(whole[:at] + b"\xff" * 8 + whole[at + 8 :])
        read_provenance(whole[:at] + b"\0" * 8 + whole[at + 8 :])
