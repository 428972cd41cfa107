"""From the models that a user gives to named and priced arms; the same for every framework."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cascade_core._types import Arm
from cascade_core.errors import InvalidConfiguration
from cascade_core.pricing import Price, PriceLike, find_price


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What an adapter knows of a model: its arm's name, and how providers call it.

    ``states_cost`` marks a model whose replies state their own dollars, such as a cascade: no price
    is looked up for it.
    """

    name: str
    model: str | None = None
    provider: str | None = None
    states_cost: bool = False


def price_arms(
    cards: Sequence[ModelCard], prices: Mapping[str, PriceLike] | None = None
) -> tuple[Arm, ...]:
    """Return the arms in order, each with the price that is known for it.

    Args:
        cards: The models, cheap to expensive.
        prices: The user's own prices by arm name or model name; they win over the table's.

    Raises:
        InvalidConfiguration: No models, equal names, a price that is none or that no model has.
    """
    prices = prices or {}
    check_names([card.name for card in cards])
    known = {key for card in cards for key in (card.name, card.model) if key}
    unused = sorted(set(prices) - known)
    if unused:
        raise InvalidConfiguration(
            f"prices names {unused}, which are none of the models: {sorted(known)}."
        )
    return tuple(Arm(card.name, _price(card, prices)) for card in cards)


def _price(card: ModelCard, prices: Mapping[str, PriceLike]) -> Price | None:
    if card.states_cost and card.name not in prices:
        return None
    return find_price(card.name, card.model, card.provider, prices)


def check_names(names: Sequence[str]) -> None:
    """Refuse no names and names that occur twice."""
    if not names:
        raise InvalidConfiguration(
            "A cascade needs at least one model, got none. Give models=[cheap, ..., strong]."
        )
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise InvalidConfiguration(
            f"Every model needs a name of its own, got {twice} more than once. Give names: "
            'models={"cheap": ..., "strong": ...}.'
        )
