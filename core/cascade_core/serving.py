"""Whether any model can serve what a request asks for."""

from __future__ import annotations

from collections.abc import Sequence

from cascade_core.errors import InvalidConfiguration


def check_servable(
    names: Sequence[str],
    unavailable: frozenset[int],
    feature: str = "something",
    advice: str = "Give the cascade a model that can.",
) -> None:
    """Refuse a request that every arm is unavailable for.

    Args:
        names: The arms.
        unavailable: Indices of those that cannot serve the request.
        feature: What it asks for that they cannot do, such as "tools".
        advice: What the user can do about it.

    Raises:
        InvalidConfiguration: No arm is left.
    """
    if unavailable.issuperset(range(len(names))):
        raise InvalidConfiguration(
            f"The request asks for {feature} that none of the models {list(names)} can serve. "
            f"{advice}"
        )
