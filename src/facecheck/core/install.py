"""What to say where a package is missing, in the same words everywhere.

``pip install facecheck`` brings all that the commands need but for the extras. Two more installs
lack something: one without an extra, and the small one of ``requirements/scan.txt``, which holds
what `facecheck scan` needs for the built-in model or an ONNX export.
"""

from __future__ import annotations

#: Modules of the full install that the small one for scanning leaves out; a test compares.
FULL_INSTALL_ONLY = frozenset({
    "c2pa", "gdown", "huggingface_hub", "jinja2", "kagglesdk", "markupsafe", "matplotlib",
    "psutil", "regex", "requests", "scipy", "sklearn", "timm", "torch", "urllib3",
})  # fmt: skip


def extra_hint(what: str, *extras: str) -> str:
    """Return one line: that ``what`` needs extras, and how to install them."""
    word = "extra" if len(extras) == 1 else "extras"
    install = _pip(f"[{','.join(extras)}]")
    return f"{what} needs the {word} {' and '.join(extras)}: {install}"


def full_install_hint(error: ModuleNotFoundError) -> str | None:
    """Return one line on a module that only the full install has; None for any other module."""
    module = (error.name or "").partition(".")[0]
    if module not in FULL_INSTALL_ONLY:
        return None
    return f"this needs {module}, which is not installed; the full install has it: {_pip()}"


def _pip(extras: str = "") -> str:
    quote = "'" if extras else ""  # shells expand brackets
    name, checkout = (f"{quote}{start}{extras}{quote}" for start in ("facecheck", "."))
    return f"pip install {name} (from a checkout: pip install {checkout})"
