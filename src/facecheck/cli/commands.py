"""Which commands there are, in the order of the help, and where each is.

A command's module, with the options and jobs that it knows, is imported when that command is asked
for. So ``--help``, ``--version`` and completion import no command, and a command not the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand
from typer.main import get_command

from facecheck.cli.help import Command, Group

#: By name: the module of a command in this room, and the first sentence of its help. The function
#: has the name of the command, and its docstring begins with that sentence; a test compares.
Table = Mapping[str, tuple[str, str]]


class Unloaded(TyperCommand):
    """A command whose module is not imported yet: what a list of commands says of it."""

    def __init__(self, name: str, module: str, sentence: str) -> None:
        super().__init__(name, help=sentence)
        self._module = module

    @cached_property
    def loaded(self) -> Command:
        """The command itself."""
        assert self.name  # noqa: S101
        module = import_module(f"facecheck.cli.{self._module}")
        alone = typer.Typer(rich_markup_mode=None, add_completion=False)
        alone.command(self.name, cls=Command)(getattr(module, self.name.replace("-", "_")))
        command = get_command(alone)
        assert isinstance(command, Command)  # noqa: S101
        return command

    def make_context(self, *args: Any, **more: Any) -> Any:
        """Return the context in which the command itself is called, completed or explained."""
        return self.loaded.make_context(*args, **more)


class TableGroup(Group):
    """A group of the commands in its table."""

    table: ClassVar[Table]

    def __init__(self, *args: Any, commands: Mapping[str, Any], **more: Any) -> None:
        unloaded = {name: Unloaded(name, *where) for name, where in self.table.items()}
        super().__init__(*args, commands={**unloaded, **commands}, **more)


class AllCommands(TableGroup):
    """All commands; two groups, ``generate`` and ``known``, are added to them."""

    table: ClassVar[Table] = {
        "sources": (
            "fetch",
            "List the datasets that fetch knows: platform, size, licence, and whether verified.",
        ),
        "fetch": ("fetch", "Download datasets to data/raw, then index and deduplicate them."),
        "index": (
            "index",
            "Decode and hash every image of some folders and manifests, and write one manifest.",
        ),
        "dedup": (
            "dedup",
            "Group files that hold the same picture and exclude all but one of each.",
        ),
        "split": (
            "split",
            "Assign images to train, val and test: groups together, kinds and sources balanced.",
        ),
        "audit": (
            "audit",
            "Measure how well labels can be predicted from metadata and crude pixel statistics.",
        ),
        "check": (
            "check",
            "Find bad images and faces, duplicates, suspected label errors, and outliers.",
        ),
        "convert": (
            "convert",
            "Convert a manifest to other tools' folders and back, or to another table format.",
        ),
        "crop": (
            "crop",
            "Cut the largest face out of every image, as a scan does, and write a manifest of the "
            "crops.",
        ),
        "lr-find": (
            "lr_find",
            "Try learning rates on the train split and suggest one for `facecheck train --lr`.",
        ),
        "train": (
            "train",
            "Train a classifier on the manifest's train split, and validate it after every epoch.",
        ),
        "calibrate": (
            "calibrate",
            "Calibrate scores and choose thresholds for an error budget.",
        ),
        "evaluate": (
            "evaluate",
            "Measure a checkpoint on one split, by kind and by source, with 95 % intervals.",
        ),
        "benchmark-model": (
            "benchmark",
            "Test robustness: accuracy on degraded, resized and re-encoded images.",
        ),
        "leave-out": (
            "leave_out",
            "Score the images of each source by a model that was trained without it.",
        ),
        "study": (
            "study",
            "Train recipes that differ in one choice, with several seeds each, and compare them.",
        ),
        "export": (
            "export",
            "Convert a checkpoint for another engine, and compare both on the val split.",
        ),
        "scan": (
            "scan",
            "Classify every image; writes one row per file, unreadable files included.",
        ),
        "merge": (
            "scan",
            "Join the results of a scan in parts (`--shard 1/N` to `N/N`) into one file.",
        ),
        "place": (
            "scan",
            "Copy or move the files of finished results to a folder for each verdict.",
        ),
        "provenance": (
            "provenance",
            "Read what files say of their own origin: C2PA, IPTC, XMP, EXIF and generators' marks.",
        ),
        "explain": (
            "explain",
            "Classify one image as a scan does, and draw what moved the score of each of its "
            "faces.",
        ),
        "report": (
            "report",
            "Make a folder with one page that shows a scan, a run, a curation or its faults.",
        ),
        "serve": (
            "serve",
            "Serve a page on this machine to scan folders and review what scans say.",
        ),
    }


class GenerateCommands(TableGroup):
    """The commands of ``generate``."""

    table: ClassVar[Table] = {
        "train": ("generate", "Train a generator of faces on the manifest's train split."),
        "sample": (
            "generate",
            "Write faces by a generator as PNG, each marked as synthetic, and a grid next to the "
            "folder.",
        ),
        "quality": (
            "generate",
            "Measure how far generated faces are from real ones that the generator never saw.",
        ),
    }


class KnownCommands(TableGroup):
    """The commands of ``known``."""

    table: ClassVar[Table] = {
        "add": ("known", "Put files that people have decided into a table, for `scan --known`."),
        "show": ("known", "Check a table of known files row by row, and count what is in it."),
    }
