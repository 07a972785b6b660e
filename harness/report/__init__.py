"""The HTML report of a run."""

from harness.report.html import write_report

__all__ = ["write_report"]
