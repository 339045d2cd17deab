"""Real signed files: a certificate authority of our own, and c2pa-python's builder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from io import BytesIO
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"


@dataclass(frozen=True)
class Identity:
    """A signer: its key and chain, and the root that leads to it; all PEM."""

    key: bytes
    chain: bytes
    root: str


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "facecheck tests"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _certificate(
    subject: str, key: Any, issuer: str, issuer_key: Any, *, root: bool, lasts: float = 3e7
) -> x509.Certificate:
    now = datetime.now(UTC)
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
         "encipher_only", "decipher_only"), False,
    )  # fmt: skip
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=400))
        .not_valid_after(now + timedelta(seconds=lasts))
        .add_extension(x509.BasicConstraints(ca=root, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=not root, key_cert_sign=root, crl_sign=root, **usage),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
    )
    if not root:
        purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(purposes, critical=True)
    return builder.sign(issuer_key, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


@cache
def identity(lasts: float = 3e7) -> Identity:
    """Return a signer whose certificate our own root has issued for so many seconds, made once."""
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = _certificate("Root", root_key, "Root", root_key, root=True)
    leaf = _certificate("Signer", key, "Root", root_key, root=False, lasts=lasts)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return Identity(private, _pem(leaf), _pem(root).decode())


def signed(
    image: bytes,
    media_type: str,
    actions: list[dict[str, Any]],
    *,
    by: Identity | None = None,
    parent: bytes | None = None,
    part: bytes | None = None,
) -> bytes:
    """Return an image with a C2PA manifest that says what was done to it.

    Args:
        image: the file.
        media_type: such as ``image/png``.
        actions: as C2PA's ``c2pa.actions`` has them.
        by: who signs.
        parent: the file that was opened, of the same type.
        part: a file that was placed in it, likewise.
    """
    from c2pa import Builder, C2paSignerInfo, C2paSigningAlg, Context, Settings, Signer

    who = by or identity()
    made_of = {"c2pa.opened": (parent, "parentOf"), "c2pa.placed": (part, "componentOf")}
    for action, (file, _) in made_of.items():
        if file is not None:
            used = {"action": action, "parameters": {"ingredientIds": [action]}}
            actions = [used, *actions] if file is parent else [*actions, used]
    manifest = {
        "claim_generator_info": [{"name": "Test Studio", "version": "2"}],
        "format": media_type,
        "assertions": [{"label": "c2pa.actions", "data": {"actions": actions}}],
    }
    info = C2paSignerInfo(C2paSigningAlg.ES256, who.chain, who.key, None)
    source, target = BytesIO(image), BytesIO()
    context = Context(Settings.from_dict({"verify": {"verify_after_sign": False}}))
    with Signer.from_info(info) as signer, Builder(json.dumps(manifest), context) as builder:
        for action, (file, relation) in made_of.items():
            if file is not None:
                described = {"title": action, "relationship": relation, "instance_id": action}
                builder.add_ingredient(json.dumps(described), media_type, BytesIO(file))
        builder.sign(signer, media_type, source, target)
    return target.getvalue()


def created(source_type: str, **more: Any) -> dict[str, Any]:
    """Return the action of making something of a digital source type."""
    return {"action": "c2pa.created", "digitalSourceType": TYPES + source_type, **more}
