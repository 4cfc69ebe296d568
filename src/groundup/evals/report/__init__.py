"""A run's report: `report.html` for a browser and a card for the terminal, both from `report.json` and `metrics.jsonl`."""

from .card import report_card
from .page import write_report_html

__all__ = ["report_card", "write_report_html"]
