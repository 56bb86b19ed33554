"""Export: a model into a file that another runtime reads, with its answers compared."""

from niwaki.export.compare import Comparing, Scorer
from niwaki.export.exporter import export, export_each
from niwaki.export.result import Agreement, ExportResult
from niwaki.export.runtime import session

__all__ = ["Agreement", "Comparing", "ExportResult", "Scorer", "export", "export_each", "session"]
