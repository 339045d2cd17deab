"""facecheck: is this a photograph of a real human face, or an artificial one, and which kind?

The names below are the whole public API. Each is loaded when first used, so that importing the
package costs nothing; the functions are the jobs behind the commands of the same names. A job takes
its options as one object, such as ``split(manifest, SplitOptions(ratio="7:2:1"))``: their fields
are the command's flags, and their defaults its defaults.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from facecheck.core.version import VERSION

__version__ = VERSION

if TYPE_CHECKING:
    from facecheck.core.errors import FacecheckError as FacecheckError
    from facecheck.core.labels import KINDS as KINDS
    from facecheck.core.manifest import Manifest as Manifest
    from facecheck.core.manifest import read_manifest as read_manifest
    from facecheck.core.manifest import write_manifest as write_manifest
    from facecheck.core.record import Record as Record
    from facecheck.data.audit import audit as audit
    from facecheck.data.duplicates.dedup import dedup as dedup
    from facecheck.data.index import index as index
    from facecheck.data.interchange import convert as convert
    from facecheck.data.options import AuditOptions as AuditOptions
    from facecheck.data.options import CatalogOptions as CatalogOptions
    from facecheck.data.options import ConvertOptions as ConvertOptions
    from facecheck.data.options import DedupOptions as DedupOptions
    from facecheck.data.options import FetchOptions as FetchOptions
    from facecheck.data.options import IndexOptions as IndexOptions
    from facecheck.data.options import SplitOptions as SplitOptions
    from facecheck.data.sources.fetch import fetch as fetch
    from facecheck.data.sources.offer import list_sources as list_sources
    from facecheck.data.split import split as split
    from facecheck.engines.export import export_checkpoint as export_checkpoint
    from facecheck.engines.options import ExportOptions as ExportOptions
    from facecheck.evaluation.calibrate import calibrate as calibrate
    from facecheck.evaluation.evaluate import evaluate as evaluate
    from facecheck.evaluation.options import BenchmarkOptions as BenchmarkOptions
    from facecheck.evaluation.options import CalibrateOptions as CalibrateOptions
    from facecheck.evaluation.options import EvaluateOptions as EvaluateOptions
    from facecheck.evaluation.options import StudyOptions as StudyOptions
    from facecheck.evaluation.robustness import benchmark_model as benchmark_model
    from facecheck.evaluation.studies.spec import load_study as load_study
    from facecheck.evaluation.studies.study import study as study
    from facecheck.faults.check import check as check
    from facecheck.faults.options import FaultOptions as FaultOptions
    from facecheck.generator.options import GenerateQualityOptions as GenerateQualityOptions
    from facecheck.generator.options import GenerateSampleOptions as GenerateSampleOptions
    from facecheck.generator.options import GenerateTrainOptions as GenerateTrainOptions
    from facecheck.generator.options import GeneratorSettings as GeneratorSettings
    from facecheck.generator.quality import generate_quality as generate_quality
    from facecheck.generator.sample import generate_sample as generate_sample
    from facecheck.generator.train import generate_train as generate_train
    from facecheck.known.add import known_add as known_add
    from facecheck.known.add import known_show as known_show
    from facecheck.known.options import KnownAddOptions as KnownAddOptions
    from facecheck.provenance.evidence import Provenance as Provenance
    from facecheck.provenance.read import read_provenance as read_provenance
    from facecheck.report.curation.report import curation_report as curation_report
    from facecheck.report.explain import explain as explain
    from facecheck.report.fault_page import fault_report as fault_report
    from facecheck.report.options import CurationReportOptions as CurationReportOptions
    from facecheck.report.options import RunReportOptions as RunReportOptions
    from facecheck.report.options import ScanReportOptions as ScanReportOptions
    from facecheck.report.run.report import run_report as run_report
    from facecheck.report.scan_report import scan_report as scan_report
    from facecheck.report.serve.options import ServeOptions as ServeOptions
    from facecheck.report.serve.server import serve as serve
    from facecheck.report.video_page import video_report as video_report
    from facecheck.scanner.answers import Answer as Answer
    from facecheck.scanner.checker import Answers as Answers
    from facecheck.scanner.checker import Checker as Checker
    from facecheck.scanner.inputs.reach import EVERYWHERE as EVERYWHERE
    from facecheck.scanner.inputs.reach import Reach as Reach
    from facecheck.scanner.inputs.reach import reach_of as reach_of
    from facecheck.scanner.job import scan as scan
    from facecheck.scanner.options import CheckOptions as CheckOptions
    from facecheck.scanner.options import ExplainOptions as ExplainOptions
    from facecheck.scanner.options import ScanOptions as ScanOptions
    from facecheck.scanner.results.frame import read_results as read_results
    from facecheck.scanner.results.frame import to_frame as to_frame
    from facecheck.scanner.results.merge import merge as merge
    from facecheck.scanner.results.place import place as place
    from facecheck.training.lr_find import lr_find as lr_find
    from facecheck.training.options import LrFindOptions as LrFindOptions
    from facecheck.training.options import TrainOptions as TrainOptions
    from facecheck.training.recipe import Recipe as Recipe
    from facecheck.training.recipe import load_recipe as load_recipe
    from facecheck.training.train import train as train

_HOMES = {
    "FacecheckError": "core.errors",
    "KINDS": "core.labels",
    "Manifest": "core.manifest",
    "Record": "core.record",
    "read_manifest": "core.manifest",
    "write_manifest": "core.manifest",
    "fetch": "data.sources.fetch",
    "list_sources": "data.sources.offer",
    "index": "data.index",
    "dedup": "data.duplicates.dedup",
    "split": "data.split",
    "audit": "data.audit",
    "convert": "data.interchange",
    "AuditOptions": "data.options",
    "CatalogOptions": "data.options",
    "ConvertOptions": "data.options",
    "DedupOptions": "data.options",
    "FetchOptions": "data.options",
    "IndexOptions": "data.options",
    "SplitOptions": "data.options",
    "Recipe": "training.recipe",
    "load_recipe": "training.recipe",
    "check": "faults.check",
    "FaultOptions": "faults.options",
    "generate_train": "generator.train",
    "generate_sample": "generator.sample",
    "generate_quality": "generator.quality",
    "ExportOptions": "engines.options",
    "BenchmarkOptions": "evaluation.options",
    "CalibrateOptions": "evaluation.options",
    "EvaluateOptions": "evaluation.options",
    "StudyOptions": "evaluation.options",
    "GenerateQualityOptions": "generator.options",
    "GenerateSampleOptions": "generator.options",
    "GenerateTrainOptions": "generator.options",
    "GeneratorSettings": "generator.options",
    "Provenance": "provenance.evidence",
    "read_provenance": "provenance.read",
    "CurationReportOptions": "report.options",
    "RunReportOptions": "report.options",
    "ScanReportOptions": "report.options",
    "ServeOptions": "report.serve.options",
    "LrFindOptions": "training.options",
    "TrainOptions": "training.options",
    "lr_find": "training.lr_find",
    "train": "training.train",
    "calibrate": "evaluation.calibrate",
    "evaluate": "evaluation.evaluate",
    "export_checkpoint": "engines.export",
    "benchmark_model": "evaluation.robustness",
    "load_study": "evaluation.studies.spec",
    "study": "evaluation.studies.study",
    "known_add": "known.add",
    "known_show": "known.add",
    "KnownAddOptions": "known.options",
    "Answer": "scanner.answers",
    "Answers": "scanner.checker",
    "Checker": "scanner.checker",
    "CheckOptions": "scanner.options",
    "ExplainOptions": "scanner.options",
    "ScanOptions": "scanner.options",
    "EVERYWHERE": "scanner.inputs.reach",
    "Reach": "scanner.inputs.reach",
    "reach_of": "scanner.inputs.reach",
    "scan": "scanner.job",
    "read_results": "scanner.results.frame",
    "to_frame": "scanner.results.frame",
    "merge": "scanner.results.merge",
    "place": "scanner.results.place",
    "explain": "report.explain",
    "scan_report": "report.scan_report",
    "serve": "report.serve.server",
    "run_report": "report.run.report",
    "curation_report": "report.curation.report",
    "fault_report": "report.fault_page",
    "video_report": "report.video_page",
}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        from facecheck.core.errors import UnknownNameError, did_you_mean

        raise UnknownNameError(f"facecheck has no attribute {name!r}{did_you_mean(name, _HOMES)}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
