"""Pages: one self-contained ``index.html`` in a folder, opened by a double click.

A page loads nothing from a network: its style and scripts are in it, its images next to it or in
it, and its Content-Security-Policy forbids the rest. Whatever a template is handed is text and
shown as text (jinja2 with autoescape): file names and EXIF are strangers' words.

A template extends ``base.html.j2``, which says what it needs of the context, and builds on the
blocks of ``blocks.html.j2``. Style attributes and inline handlers do nothing: the policy knows the
page's own style and scripts by their sha256.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from facecheck.core.errors import UsageError
from facecheck.core.files import path_text, temporary_folder, temporary_name, write_text
from facecheck.core.jsonable import parse_json
from facecheck.core.text import percent
from facecheck.core.version import VERSION
from facecheck.report.palette import KIND_COLOURS, VERDICT_COLOURS

#: The page in a report's folder.
INDEX = "index.html"
#: Marks a folder as a report, and names what the report has put in it.
MARKER = ".facecheck-report"
# JSON within <script>: what could end or open a tag or a comment there is written as an escape.
_IN_SCRIPT = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


def write_page(
    folder: Path,
    template: str,
    context: Mapping[str, Any],
    *,
    data: Mapping[str, Any] | None = None,
) -> Path:
    """Write ``folder/index.html`` and return its path.

    Args:
        folder: as :func:`report_folder` yields it.
        template: name of a template in ``report/templates``.
        context: what the template shows. ``base.html.j2`` needs ``title`` (text) and ``contents``
            (headings of the sections by their anchors, in order); a name that is used and missing
            is an error.
        data: JSON values for the page's scripts, which find them by ``pageData()``. Text must be
            UTF-8, numbers finite.
    """
    write_text(folder / INDEX, page_text(template, context, data=data))
    return folder / INDEX


def page_text(
    template: str, context: Mapping[str, Any], *, data: Mapping[str, Any] | None = None
) -> str:
    """Return a page as text, of what :func:`write_page` takes."""
    values = None if data is None else script_json(data)
    return _environment().get_template(template).render(**context, data=values)


def script_json(value: Any) -> Markup:
    """Return ``value`` as JSON that may stand within ``<script>``: no text in it can end that.

    Raises:
        ValueError: a number is not finite.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.translate(_IN_SCRIPT))  # noqa: S704  # no tag can stand in it


@contextmanager
def report_folder(out: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``out`` when the block ends without error.

    Until then, and if it fails, a report that is at ``out`` stays as it is.

    Raises:
        UsageError: ``out`` is there and is no folder of a report, or holds something else too; or
            it is a report and ``overwrite`` was not asked for.
    """
    _put_back(out)
    with temporary_folder(out.absolute()) as made:
        _refuse_what_is_there(out, overwrite=overwrite)
        folder = made / "new"
        folder.mkdir()
        yield folder
        names = sorted(path.name for path in folder.iterdir())
        marker = {"facecheck": VERSION, "names": names}
        (folder / MARKER).write_text(json.dumps(marker) + "\n", encoding="utf-8")
        _refuse_what_is_there(out, overwrite=overwrite)  # it may have taken hours
        if out.exists():
            out.rename(made / "old")
        folder.rename(out)


def _put_back(out: Path) -> None:
    """Return the old report to its name, if a kill came between the two renamings."""
    old = temporary_name(out.absolute()) / "old"
    if old.is_dir() and not os.path.lexists(out):
        old.rename(out)


def _refuse_what_is_there(out: Path, *, overwrite: bool) -> None:
    name = path_text(out)
    if not os.path.lexists(out):
        return
    if out.is_symlink() or not out.is_dir():
        raise UsageError(f"{name} is there and no folder of a report: name another with --out")
    found = {path.name for path in out.iterdir()}
    if not found:
        return
    others = sorted(found - _own_names(out))
    if others:
        raise UsageError(
            f"{name} holds what no report has put there ({path_text(others[0])}): move it, or name "
            "another folder with --out"
        )
    if not overwrite:
        raise UsageError(f"{name} exists: pass --overwrite to replace it")


def _own_names(out: Path) -> set[str]:
    """Return the names that the report at ``out`` has put there; none if it is no report."""
    try:
        marker = parse_json((out / MARKER).read_bytes())
        return {MARKER, *map(str, marker["names"])}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("facecheck.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "path": path_text,
        "number": number_text,
        "percent": partial(percent, digits=1),
    }
    environment.globals |= {
        "asset": _asset,
        "colours": _colours,
        "policy": _policy,
        "version": VERSION,
    }
    return environment


def number_text(value: float | None, digits: int = 4) -> str:
    """Return a number as people read it: ``12,345``, ``0.9876``; ``-`` where there is none."""
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}f}"


@cache
def _asset(name: str) -> Markup:
    """Return a style or script of ours, to stand in the page as it is."""
    text = files("facecheck.report").joinpath("assets", name).read_text(encoding="utf-8")
    return Markup(text)  # noqa: S704


def _colours() -> Markup:
    """Return the palette as style: ``--kind-photo``, ``--verdict-real``, ``--verdict-none``."""
    named = {f"kind-{kind}": colour for kind, colour in KIND_COLOURS.items()}
    named |= {f"verdict-{name or 'none'}": colour for name, colour in VERDICT_COLOURS.items()}
    inner = "".join(f"--{name}:{colour};" for name, colour in named.items())
    return Markup(f":root{{{inner}}}")  # noqa: S704


def _policy(styles: Sequence[str], scripts: Sequence[str], served: bool) -> str:
    """Return the page's Content-Security-Policy: its own styles and scripts, images next to it.

    One that is ``served`` may ask its server, too.
    """
    return "; ".join(
        (
            "default-src 'none'",
            # A page opened by double click is of no origin that 'self' would mean everywhere.
            "img-src 'self' file: data: blob:",
            "style-src " + " ".join(map(_source_hash, styles)),
            "script-src " + " ".join(_source_hash(_asset(name)) for name in scripts),
            *(["connect-src 'self'"] if served else []),
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _source_hash(text: str) -> str:
    """Return how a policy names a style or script by its content."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
