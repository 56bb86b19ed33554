"""Reports: one HTML page made from the records of a run, without torch."""

from niwaki.reports.page import write_report

__all__ = ["write_report"]
