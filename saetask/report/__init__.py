"""The report: a run folder becomes one self-contained `report.html`."""

from saetask.report.render import write_report

__all__ = ["write_report"]
