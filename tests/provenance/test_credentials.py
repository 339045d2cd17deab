"""C2PA manifests: really signed by the C2PA's own builder, and read as strangers' are."""

from __future__ import annotations

import time
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from facecheck.core.errors import ConfigError
from facecheck.provenance.evidence import Finding
from facecheck.provenance.options import EvidenceOptions
from facecheck.provenance.read import load_evidence, read_provenance
from tests.provenance.signing import TYPES, created, identity, signed

JPEG = "image/jpeg"
GENERATED = created("trainedAlgorithmicMedia")
CAPTURED = created("digitalCapture")
COMPOSITE = TYPES + "compositeWithTrainedAlgorithmicMedia"


def image(file_format: str = "JPEG") -> bytes:
    stream = BytesIO()
    Image.effect_noise((64, 64), 50).convert("RGB").save(stream, file_format)
    return stream.getvalue()


def manifest(file: bytes, tmp_path: Path | None = None) -> Finding:
    """Return what is found in a file; with a folder, by one who trusts the tests' root."""
    options = EvidenceOptions()
    if tmp_path is not None:
        (tmp_path / "root.pem").write_text(identity().root)
        options = EvidenceOptions(trust=tmp_path / "root.pem")
    provenance = read_provenance(file, load_evidence(options))
    assert not provenance.errors
    return provenance.findings[0]


@pytest.mark.parametrize(
    ("file_format", "media_type"),
    [
        ("JPEG", JPEG),
        ("PNG", "image/png"),
        ("WEBP", "image/webp"),
        ("GIF", "image/gif"),
        ("TIFF", "image/tiff"),
        ("AVIF", "image/avif"),
    ],
)
def test_a_manifest_is_found_in_each_format(file_format: str, media_type: str) -> None:
    file = signed(image(file_format), media_type, [GENERATED])
    found = manifest(file)
    assert found.short == "c2pa:valid:generated"
    assert (found.maker, found.signer) == ("Test Studio 2", "Signer, facecheck tests")
    assert "trainedAlgorithmicMedia" in found.value


def test_a_signer_is_trusted_who_leads_to_the_list(tmp_path: Path) -> None:
    file = signed(image(), JPEG, [GENERATED])
    assert manifest(file).short == "c2pa:valid:generated"
    assert manifest(file, tmp_path).short == "c2pa:trusted:generated"


def test_a_file_that_was_changed_is_invalid_and_its_claim_still_shown(tmp_path: Path) -> None:
    file = bytearray(signed(image(), JPEG, [GENERATED]))
    file[-100] ^= 0x55
    found = manifest(bytes(file), tmp_path)
    assert found.short == "c2pa:invalid:generated"
    assert "assertion.dataHash.mismatch" in found.value


def test_a_certificate_out_of_date_is_invalid(tmp_path: Path) -> None:
    who = identity(lasts=2)
    file = signed(image(), JPEG, [CAPTURED], by=who)
    (tmp_path / "root.pem").write_text(who.root)
    evidence = load_evidence(EvidenceOptions(trust=tmp_path / "root.pem"))
    assert read_provenance(file, evidence).trusted_capture
    ends = time.monotonic() + 20
    while (late := read_provenance(file, evidence)).trusted_capture and time.monotonic() < ends:
        time.sleep(0.2)
    assert late.short == "c2pa:invalid:capture"
    assert late.trusted_capture is None


def edited(**more: Any) -> dict[str, Any]:
    return {"action": "c2pa.edited", "digitalSourceType": COMPOSITE, **more}


@pytest.mark.parametrize(
    ("origin", "actions", "part", "claim"),
    [
        (CAPTURED, [], None, "capture"),
        (CAPTURED, [{"action": "c2pa.cropped"}], None, "capture"),
        (CAPTURED, [edited()], None, "composite"),
        (CAPTURED, [], GENERATED, "composite"),
        (GENERATED, [{"action": "c2pa.resized"}], None, "generated"),
        (GENERATED, [edited()], None, "generated"),
        (created("digitalCreation"), [], None, "other"),
        (created("composite"), [], None, "other"),
    ],
)
def test_a_picture_is_what_was_created_and_what_was_put_in(
    origin: dict[str, Any],
    actions: list[dict[str, Any]],
    part: dict[str, Any] | None,
    claim: str,
    tmp_path: Path,
) -> None:
    before = signed(image(), JPEG, [origin])
    placed = None if part is None else signed(image(), JPEG, [part])
    after = signed(before, JPEG, actions, parent=before, part=placed)
    assert manifest(after, tmp_path).claim == claim


def test_who_did_it_is_named_by_the_action() -> None:
    before = signed(image(), JPEG, [CAPTURED])
    file = signed(before, JPEG, [edited(softwareAgent={"name": "Painter"})], parent=before)
    assert manifest(file).maker == "Painter"


def test_a_damaged_manifest_is_an_error_and_the_rest_is_read() -> None:
    file = signed(image(), JPEG, [GENERATED])
    at = file.index(b"jumd")
    found = read_provenance(file[: at + 4] + bytes(200) + file[at + 204 :])
    assert found.short.startswith("c2pa:unread")
    assert found.errors
    assert found.artificial is None


def test_what_is_to_be_trusted_must_be_a_certificate(tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("hello")
    with pytest.raises(ConfigError, match="no certificate"):
        load_evidence(EvidenceOptions(trust=tmp_path / "no.pem"))
    with pytest.raises(ConfigError, match="cannot be read"):
        load_evidence(EvidenceOptions(trust=tmp_path / "none.pem"))
