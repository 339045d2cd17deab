"""C2PA manifests (Content Credentials): what was done, by whom, and whether the signature holds.

The reading and checking is that of the C2PA's own library, ``c2pa-python``. It is loaded only for a
file that has a manifest, and never uses the network: neither for manifests kept elsewhere nor for
the revocation of certificates.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from facecheck.core.errors import ConfigError, reason
from facecheck.core.files import path_text
from facecheck.core.whatis import mistaken
from facecheck.provenance.evidence import Claim, Finding, State, Witness, shortened
from facecheck.provenance.source_types import claim_of

if TYPE_CHECKING:
    from c2pa import Context

#: The C2PA Trust List, with its date in its first line.
TRUST_LIST = Path(__file__).with_name("c2pa_trust_list.pem")

#: Letters of a manifest store as JSON; those of real files have some 10,000.
_MOST_JSON = 16 << 20
#: Manifests that are followed from a file to what it was made from.
_MOST_PARENTS = 16
_CREATED = "c2pa.created"
_STATES = {"Trusted": State.TRUSTED, "Valid": State.VALID}


class CredentialsError(Exception):
    """A manifest that cannot be read; the message says why, in a phrase."""


def read_credentials(stream: BinaryIO, trust: str = "") -> list[Finding]:
    """Return what the manifest of a file says: one finding, with the state of its signature.

    Args:
        stream: the whole file.
        trust: more certificates that may sign, PEM.

    Raises:
        CredentialsError: the manifest cannot be read, or its library is not installed.
    """
    try:
        from c2pa import C2paError, Reader
    except (ImportError, OSError) as error:
        raise CredentialsError(
            f"its Content Credentials are not read: {error}: pip install c2pa-python"
        ) from None
    stream.seek(0)
    try:
        with Reader(None, stream, context=_context(trust)) as reader:
            text = reader.json()
        if len(text) > _MOST_JSON:
            raise CredentialsError(f"Content Credentials of {len(text):,} letters")
        return [_finding(json.loads(text))]
    except (C2paError, ValueError, RecursionError, TypeError, AttributeError, KeyError) as error:
        said = shortened(str(error)) or type(error).__name__
        raise CredentialsError(f"its Content Credentials cannot be read: {said}") from None


@lru_cache(maxsize=4)
def _context(trust: str) -> Context:
    from c2pa import Context, Settings

    anchors = TRUST_LIST.read_text(encoding="utf-8") + trust
    return Context(
        Settings.from_dict(
            {
                "trust": {"trust_anchors": anchors},
                "verify": {
                    "verify_trust": True,
                    "remote_manifest_fetch": False,
                    "ocsp_fetch": False,
                },
            }
        )
    )


def read_trust(path: Path | None) -> str:
    """Return the certificates of a file, as text; empty for None.

    Raises:
        ConfigError: it cannot be read, or holds none.
    """
    if path is None:
        return ""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        if path.exists():
            raise ConfigError(mistaken(path, "certificates in PEM", "pass a .pem file")) from None
        raise ConfigError(f"{path_text(path)}: cannot be read: {reason(error)}") from None
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise ConfigError(f"{path_text(path)}: no certificate in PEM form: pass a .pem file")
    return text


def _finding(store: Mapping[str, Any]) -> Finding:
    manifests = store.get("manifests") or {}
    active = manifests[store["active_manifest"]]
    state = _STATES.get(str(store.get("validation_state")), State.INVALID)
    claim, source_type, maker = _origin(active, manifests)
    if claim == Claim.CAPTURE and store.get("validation_status"):
        # A capture by a camera counts only where nothing at all, ingredients included, is amiss.
        state = State.VALID if state == State.TRUSTED else state
    signature = active.get("signature_info") or {}
    signer = ", ".join(
        str(signature[key]) for key in ("common_name", "issuer") if signature.get(key)
    )
    codes = [str(each.get("code")) for each in store.get("validation_status") or ()]
    return Finding(
        Witness.C2PA,
        claim,
        name=state,
        maker=shortened(maker),
        where="C2PA manifest",
        value=shortened("; ".join(filter(None, (source_type, ", ".join(dict.fromkeys(codes)))))),
        signer=shortened(signer),
    )


def _origin(manifest: Mapping[str, Any], manifests: Mapping[str, Any]) -> tuple[Claim, str, str]:
    """Return what a manifest says of the picture, by which source type, and who made it.

    The picture is what its first manifest created, unless something artificial was put in later: by
    an action, or as a component that is artificial itself.
    """
    inserted: tuple[Claim, str, str] | None = None
    seen: list[Mapping[str, Any]] = []
    current: Mapping[str, Any] | None = manifest
    while current is not None and current not in seen and len(seen) < _MOST_PARENTS:
        seen.append(current)
        inserted = inserted or next(_inserted(current, manifests), None)
        current = _parent(current, manifests)
    created = next(_created(seen[-1]), (Claim.OTHER, "", _maker(manifest)))
    if created[0] != Claim.GENERATED and inserted:
        return inserted
    return created


def _created(manifest: Mapping[str, Any]) -> Iterator[tuple[Claim, str, str]]:
    for action in _actions(manifest):
        source_type = str(action.get("digitalSourceType") or "")
        if action.get("action") == _CREATED and source_type:
            yield claim_of(source_type), _word(source_type), _agent(action) or _maker(manifest)
    for assertion in _assertions(manifest, "stds.iptc", "stds.schema-org"):
        keys = ("Iptc4xmpExt:DigitalSourceType", "digitalSourceType")
        source_type = next((str(assertion[key]) for key in keys if assertion.get(key)), "")
        if source_type:
            yield claim_of(source_type), _word(source_type), _maker(manifest)


def _inserted(
    manifest: Mapping[str, Any], manifests: Mapping[str, Any]
) -> Iterator[tuple[Claim, str, str]]:
    """Yield what was put into a picture that is artificial."""
    for action in _actions(manifest):
        source_type = str(action.get("digitalSourceType") or "")
        artificial = claim_of(source_type) in (Claim.GENERATED, Claim.COMPOSITE)
        if action.get("action") != _CREATED and artificial:
            yield Claim.COMPOSITE, _word(source_type), _agent(action) or _maker(manifest)
    for part in _ingredients(manifest, "componentOf"):
        of_part = manifests.get(str(part.get("active_manifest")))
        if of_part is not None:
            for claim, word, maker in _created(of_part):
                if claim in (Claim.GENERATED, Claim.COMPOSITE):
                    yield Claim.COMPOSITE, word, maker


def _parent(manifest: Mapping[str, Any], manifests: Mapping[str, Any]) -> Mapping[str, Any] | None:
    for parent in _ingredients(manifest, "parentOf"):
        found: Mapping[str, Any] | None = manifests.get(str(parent.get("active_manifest")))
        return found
    return None


def _ingredients(manifest: Mapping[str, Any], relation: str) -> Iterator[Mapping[str, Any]]:
    for each in manifest.get("ingredients") or ():
        if each.get("relationship") == relation:
            yield each


def _actions(manifest: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return [
        action
        for assertion in _assertions(manifest, "c2pa.actions")
        for action in assertion.get("actions") or ()
    ]


def _assertions(manifest: Mapping[str, Any], *labels: str) -> Iterator[Mapping[str, Any]]:
    for assertion in manifest.get("assertions") or ():
        data = assertion.get("data")
        if str(assertion.get("label")).startswith(labels) and isinstance(data, dict):
            yield data


def _agent(action: Mapping[str, Any]) -> str:
    agent = action.get("softwareAgent")
    name = agent.get("name") if isinstance(agent, dict) else agent
    return str(name or "")


def _maker(manifest: Mapping[str, Any]) -> str:
    """Return the claim generator: its name and version, or the older form in one word."""
    for info in manifest.get("claim_generator_info") or ():
        return " ".join(str(info[key]) for key in ("name", "version") if info.get(key))
    return str(manifest.get("claim_generator") or "")


def _word(source_type: str) -> str:
    return source_type.rstrip("/").rpartition("/")[2]
