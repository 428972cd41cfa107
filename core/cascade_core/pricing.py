"""What tokens cost, in US dollars per million.

Prices come from the user or from the ``genai-prices`` table. That package takes up to 0.7 s to
import and 0.4 ms a look-up, so it is loaded on first need and asked once per model.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real

from cascade_core.errors import InvalidConfiguration


class UnknownPriceWarning(UserWarning):
    """A model's price is not known; its cost is reported as unknown, never as zero."""


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens.

    Args:
        input: Per million input tokens.
        output: Per million output tokens.
        cached_input: Per million input tokens that the provider read from its prompt cache;
            the same as ``input`` if not given.

    Examples:
        >>> Price(input=2.0, output=8.0).cost_usd(1_000, 500)
        0.006
    """

    input: float
    output: float
    cached_input: float | None = None

    def __post_init__(self) -> None:
        if not all(_is_dollars(p) for p in (self.input, self.output, self.input_cached)):
            raise InvalidConfiguration(
                f"A price needs finite US dollars per million tokens, >= 0, got {self!r}."
            )

    @property
    def input_cached(self) -> float:
        """Dollars per million cached input tokens."""
        return self.input if self.cached_input is None else self.cached_input

    def cost_usd(
        self, input_tokens: float, output_tokens: float, cached_input_tokens: float = 0
    ) -> float:
        """Return the dollars of one call; ``input_tokens`` includes the cached ones."""
        fresh = max(0, input_tokens - cached_input_tokens)
        return (
            fresh * self.input
            + cached_input_tokens * self.input_cached
            + output_tokens * self.output
        ) / 1_000_000


def _is_dollars(given: object) -> bool:
    """Refuse True and "1" too: both would count as a number further on."""
    if isinstance(given, bool) or not isinstance(given, Real):
        return False
    return 0 <= float(given) < math.inf


PriceLike = Price | tuple[float, float] | tuple[float, float, float]


def as_price(given: PriceLike) -> Price:
    """Return a ``Price`` from a price or from (input, output[, cached_input]) dollars per million.

    Raises:
        InvalidConfiguration: Something else was given, or a number is negative or not finite.
    """
    if isinstance(given, Price):
        return given
    try:
        # "12" and {1: 2} can be iterated, too.
        if not isinstance(given, tuple | list):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(type(given).__name__)
        return Price(*given)
    except (TypeError, ValueError) as error:
        raise InvalidConfiguration(
            "A price is Price(input=..., output=...) or (input, output) in US dollars per million "
            f"tokens, >= 0, got {given!r}."
        ) from error


def find_price(
    name: str,
    model: str | None,
    provider: str | None,
    overrides: Mapping[str, PriceLike],
) -> Price | None:
    """Return the price of an arm: the user's own, else the table's, else None with a warning.

    Args:
        name: The arm's name; an override under it wins.
        model: The provider's model name, looked up in the overrides and in the table.
        provider: The provider's id as ``genai-prices`` spells it, if known.
        overrides: The user's prices by arm name or model name.
    """
    for key in (name, model):
        if key is not None and key in overrides:
            return as_price(overrides[key])
    price = _table_price(model, provider) if model else None
    if price is None:
        _warn_unknown(name)
    return price


@lru_cache(maxsize=1024)
def _table_price(model: str, provider: str | None) -> Price | None:
    from genai_prices import Usage, calc_price

    thousand = Usage(input_tokens=1000, output_tokens=1000)
    cached = Usage(input_tokens=1000, cache_read_tokens=1000)
    for provider_id in dict.fromkeys((provider, None)):
        try:
            plain = calc_price(thousand, model, provider_id=provider_id)
            cache_read = calc_price(cached, model, provider_id=provider_id)
        except LookupError:
            continue
        # Dollars for a thousand tokens, the first tier where a model has several.
        return Price(
            input=float(plain.input_price * 1000),
            output=float(plain.output_price * 1000),
            cached_input=float(cache_read.input_price * 1000),
        )
    return None


@lru_cache(maxsize=1024)
def _warn_unknown(name: str) -> None:
    """Warn once per name and process: the cache is what makes it once."""
    warnings.warn(
        f"No price is known for {name!r}: its cost will be reported as unknown. Give one, in US "
        f"dollars per million tokens: prices={{{name!r}: Price(input=0.25, output=2.0)}}.",
        UnknownPriceWarning,
        stacklevel=4,
    )
