"""MkDocs builds its pages from the Markdown of the repository as it is, by these hooks.

README.md and its neighbours, which lie outside docs/, become pages; links out of docs/ lead to the
repository; and the page of the Python API lists ``facecheck.__all__``.
"""

from __future__ import annotations

import dataclasses
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.structure.files import File, Files

import facecheck

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]

#: Files outside docs/ that are pages of the site.
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}

#: Headings of the page of the Python API, by room.
ROOMS = {
    "core": "Manifests, kinds and errors",
    "data": "Curation",
    "faults": "Faults of images and labels",
    "known": "Known files",
    "provenance": "Provenance",
    "training": "Training",
    "engines": "Export",
    "evaluation": "Evaluation",
    "generator": "Generated faces",
    "scanner": "Scans",
    "report": "Reports",
}

LINK = re.compile(r"(?<=\]\()(?P<path>[^)#:\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside docs/."""
    for name, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return a page's Markdown with links that work on the site."""
    uri = page.file.src_uri
    at = {page: name for name, page in PAGES.items()}.get(uri, f"docs/{uri}")
    if uri == "api.md":
        markdown += public_names()

    def link(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(at), found["path"]))
        inside = PAGES.get(target, target.removeprefix("docs/") if target != at else uri)
        if files.get_file_from_path(inside) and (target in PAGES or target.startswith("docs/")):
            return posixpath.relpath(inside, posixpath.dirname(uri) or ".")
        if not (ROOT / target).exists():
            return found["path"]  # MkDocs says that it leads nowhere
        way = "tree" if (ROOT / target).is_dir() else "blob"
        return f"{config.repo_url}/{way}/main/{target}"

    return LINK.sub(link, markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return a page without the roles of Sphinx that docstrings have for editors."""
    return re.sub(r":(?:class|func|meth|mod|data|attr|exc):(?=<code>)", "", html)


def public_names() -> str:
    """Return a heading for each room, and below it what each of its public names documents."""
    text = ""
    for room, title in ROOMS.items():
        text += f"\n## {title}\n\n"
        for name, home in facecheck._HOMES.items():
            if home.split(".")[0] == room:
                text += f"::: facecheck.{name}\n\n{fields_of(name)}"
    return text


def fields_of(name: str) -> str:
    """Return a table of the fields of options and recipes, with the help of their flags."""
    known = getattr(facecheck, name) if name[0].isupper() else None
    if not isinstance(known, type) or not dataclasses.is_dataclass(known):
        return ""
    rows = [
        f"| `{each.name}` | `{default_of(each)}` | {each.metadata['help']} |\n"
        for each in dataclasses.fields(known)
        if "help" in each.metadata
    ]
    return "| field | default | |\n|---|---|---|\n" + "".join(rows) + "\n" if rows else ""


def default_of(field: dataclasses.Field[Any]) -> str:
    """Return the default of a field as it is shown."""
    made = field.default_factory
    default = field.default if made is dataclasses.MISSING else made()
    return str(default) if isinstance(default, Path) else repr(default)
