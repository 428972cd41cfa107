"""The outcome table: what every model answered on every request, graded."""

from cascade_core.outcomes.reading import IncompleteOutcomesWarning, read_outcomes
from cascade_core.outcomes.table import OutcomeTable
from cascade_core.outcomes.writing import write_outcomes

__all__ = ["IncompleteOutcomesWarning", "OutcomeTable", "read_outcomes", "write_outcomes"]
