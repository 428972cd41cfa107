"""The best supermodel, for many decisions at once: E[max] of normals and the search over sets.

Dekoninck, Baader and Vechev (2025), A Unified Approach to Routing and Cascading for LLMs,
Theorems 2 (prefixes of an order) and 3 (all sets). Arrays in, arrays out.
"""

from cascade_core.expected_max.best_prefix import best_prefix
from cascade_core.expected_max.best_set import best_sets
from cascade_core.expected_max.result import BestSets
from cascade_core.expected_max.samples import normal_points

__all__ = ["BestSets", "best_prefix", "best_sets", "normal_points"]
