"""The outcome table: what every model answered on every request, graded."""

from cascade_core.outcomes.table import OutcomeTable

__all__ = ["OutcomeTable"]
