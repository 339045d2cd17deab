"""facecheck: is this a photograph of a real human face, or an artificial one, and which kind?

The names below are the whole public API. Each is loaded when first used, so that importing the
package costs nothing; the functions are the jobs behind the commands of the same names.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from facecheck.core.errors import FacecheckError as FacecheckError
    from facecheck.core.kinds import KINDS as KINDS
    from facecheck.core.manifest import Manifest as Manifest
    from facecheck.core.manifest import Record as Record
    from facecheck.core.manifest import read_manifest as read_manifest
    from facecheck.core.manifest import write_manifest as write_manifest
    from facecheck.data.audit import audit as audit
    from facecheck.data.dedup import dedup as dedup
    from facecheck.data.fetch import fetch as fetch
    from facecheck.data.fetch import list_sources as list_sources
    from facecheck.data.index import index as index
    from facecheck.data.interchange import convert as convert
    from facecheck.data.split import split as split
    from facecheck.generator.quality import generate_quality as generate_quality
    from facecheck.generator.sample import generate_sample as generate_sample
    from facecheck.generator.train import GeneratorSettings as GeneratorSettings
    from facecheck.generator.train import generate_train as generate_train
    from facecheck.model.benchmark_model import benchmark_model as benchmark_model
    from facecheck.model.calibrate import calibrate as calibrate
    from facecheck.model.evaluate import evaluate as evaluate
    from facecheck.model.export import export_checkpoint as export_checkpoint
    from facecheck.model.lr_find import lr_find as lr_find
    from facecheck.model.recipe import Recipe as Recipe
    from facecheck.model.study import study as study
    from facecheck.model.study_spec import load_study as load_study
    from facecheck.model.train import train as train
    from facecheck.report.curation_report import curation_report as curation_report
    from facecheck.report.explain import explain as explain
    from facecheck.report.run_report import run_report as run_report
    from facecheck.report.scan_report import scan_report as scan_report
    from facecheck.scanner.checker import Checker as Checker
    from facecheck.scanner.job import scan as scan
    from facecheck.scanner.merge import merge as merge
    from facecheck.scanner.place import place as place

_HOMES = {
    "FacecheckError": "core.errors",
    "KINDS": "core.kinds",
    "Manifest": "core.manifest",
    "Record": "core.manifest",
    "read_manifest": "core.manifest",
    "write_manifest": "core.manifest",
    "fetch": "data.fetch",
    "list_sources": "data.fetch",
    "index": "data.index",
    "dedup": "data.dedup",
    "split": "data.split",
    "audit": "data.audit",
    "convert": "data.interchange",
    "Recipe": "model.recipe",
    "GeneratorSettings": "generator.train",
    "generate_train": "generator.train",
    "generate_sample": "generator.sample",
    "generate_quality": "generator.quality",
    "lr_find": "model.lr_find",
    "train": "model.train",
    "calibrate": "model.calibrate",
    "evaluate": "model.evaluate",
    "export_checkpoint": "model.export",
    "benchmark_model": "model.benchmark_model",
    "load_study": "model.study_spec",
    "study": "model.study",
    "Checker": "scanner.checker",
    "scan": "scanner.job",
    "merge": "scanner.merge",
    "place": "scanner.place",
    "explain": "report.explain",
    "scan_report": "report.scan_report",
    "run_report": "report.run_report",
    "curation_report": "report.curation_report",
}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
