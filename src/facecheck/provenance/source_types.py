"""IPTC's and C2PA's digital source types, and what each says of a picture.

The terms are those of https://cv.iptc.org/newscodes/digitalsourcetype/ and of section 8.2 of the
C2PA specification 2.4. ``composite`` and ``compositeCapture`` alone are no evidence: panoramas and
exposures put together are meant by them as well. Nor are ``digitalCreation`` and ``screenCapture``:
a blank canvas, or a screen, can show a photograph.
"""

from __future__ import annotations

from facecheck.provenance.evidence import Claim

_CLAIMS = {
    "trainedalgorithmicmedia": Claim.GENERATED,
    "trainedalgorithmicdata": Claim.GENERATED,
    "algorithmicmedia": Claim.GENERATED,
    "compositewithtrainedalgorithmicmedia": Claim.COMPOSITE,
    "compositesynthetic": Claim.COMPOSITE,
    "digitalcapture": Claim.CAPTURE,
    "computationalcapture": Claim.CAPTURE,
    "negativefilm": Claim.CAPTURE,
    "positivefilm": Claim.CAPTURE,
    "print": Claim.CAPTURE,
}


def claim_of(source_type: str) -> Claim:
    """Return what a digital source type says: its address, or its last word, in any case."""
    word = source_type.strip().rstrip("/").rpartition("/")[2].rpartition(":")[2]
    return _CLAIMS.get(word.lower(), Claim.OTHER)
