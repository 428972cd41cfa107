"""The score of the RouterArena board."""

from __future__ import annotations

import math

from cascade_core.errors import InvalidOutcomes

_BETA = 0.1
_CHEAPEST, _DEAREST = 0.0044, 200.0  # US dollars per 1,000 requests, as the board fixes them


def router_arena_score(
    cost_usd_per_1000: float, accuracy: float, accuracy_weight: float = _BETA
) -> float:
    r"""Return $S_\beta = \frac{(1 + \beta) A C}{\beta A + C}$, in [0, 1].

    $A$ is the accuracy and $C = \log_2(c_{max} / c) / \log_2(c_{max} / c_{min})$ the cheapness, on
    the board's fixed scale from $c_{max}$ = 200 to $c_{min}$ = 0.0044 dollars per 1,000 requests;
    costs beyond are taken for its ends. A small $\beta$ weighs accuracy most. It scores one
    policy, not a curve, and depends on the unit of cost.

    Lu et al. (2025), RouterArena, arXiv 2510.00202; the published ``compute_arena_score``.

    Args:
        cost_usd_per_1000: Mean US dollars per 1,000 requests, >= 0.
        accuracy: Share of correct answers, in [0, 1].
        accuracy_weight: The board's β, > 0.

    Raises:
        InvalidOutcomes: A number outside its range, or NaN.

    Examples:
        >>> round(router_arena_score(0.311, 0.7167), 4)
        0.7046
    """
    if not (cost_usd_per_1000 >= 0 and 0 <= accuracy <= 1 and 0 < accuracy_weight < math.inf):
        raise InvalidOutcomes(
            "RouterArena needs cost >= 0, accuracy in [0, 1] and a weight > 0, got "
            f"{cost_usd_per_1000}, {accuracy}, {accuracy_weight}."
        )
    cost = min(max(cost_usd_per_1000, _CHEAPEST), _DEAREST)
    cheapness = math.log2(_DEAREST / cost) / math.log2(_DEAREST / _CHEAPEST)
    if accuracy == 0 or cheapness == 0:
        return 0.0
    mixed = accuracy_weight * accuracy + cheapness
    return (1 + accuracy_weight) * accuracy * cheapness / mixed
