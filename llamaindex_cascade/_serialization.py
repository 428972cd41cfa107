"""What of a cascade goes into a dictionary, and what does not come back out of one."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from inspect import isabstract
from typing import Any, cast

from llama_index.core.llms.llm import LLM

from cascade_core import InvalidConfiguration
from cascade_core.pricing import PriceLike, as_price

# Code: a dictionary can name it, and not hold it.
_CODE = ("policy", "validators", "escalate_on")


def describe(value: object) -> str | None:
    """Return a text for a policy that is the same in every run; caches hash it."""
    if value is None:
        return None
    return repr(value) if is_dataclass(value) else type(value).__qualname__


def names_of(values: Mapping[str, Any] | Sequence[Any]) -> list[str]:
    """Return the names of validators or exception classes."""
    if isinstance(values, Mapping):
        return list(values)
    return [cast("str", getattr(v, "__qualname__", type(v).__qualname__)) for v in values]


def price_rows(prices: Mapping[str, PriceLike]) -> dict[str, list[float]]:
    """Return input, output and cached input dollars per million tokens by name."""
    priced = {name: as_price(price) for name, price in prices.items()}
    return {name: [p.input, p.output, p.input_cached] for name, p in priced.items()}


def restored(data: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the constructor's arguments from a dictionary and what the caller adds to it.

    Raises:
        InvalidConfiguration: The dictionary names code that the caller does not give.
    """
    missing = [key for key in _CODE if data.get(key) and key not in given]
    if missing:
        named = {key: data[key] for key in missing}
        raise InvalidConfiguration(
            f"A dictionary holds no code, and this cascade was made with {named}. Give it: "
            f"from_dict(data, {', '.join(f'{key}=...' for key in missing)})."
        )
    kept = {key: value for key, value in data.items() if key not in _CODE and key != "class_name"}
    if "models" not in given:
        kept["models"] = {name: _model(model) for name, model in data["models"].items()}
    return {**kept, **given}


def check_picklable(name: str, value: object) -> None:
    """Refuse to pickle what LlamaIndex would drop in silence."""
    try:
        pickle.dumps(value)
    except Exception as error:
        raise pickle.PicklingError(
            f"CascadeRouterLLM cannot be pickled: its {name} cannot ({type(error).__name__}: "
            f"{error}). Use functions and classes of a module in place of lambdas and local ones."
        ) from error


def _model(data: object) -> LLM:
    if isinstance(data, LLM):
        return data
    data = cast("dict[str, Any]", data)
    # LlamaIndex's own registry knows four classes; this, every integration that is imported.
    for known in _subclasses(LLM):  # type: ignore[type-abstract]
        if not isabstract(known) and known.class_name() == data.get("class_name"):
            return known.from_dict(data)
    from llama_index.core.llms import loading

    return cast("LLM", cast("Any", loading).load_llm(data))


def _subclasses(cls: type[LLM]) -> Iterator[type[LLM]]:
    for sub in cls.__subclasses__():
        yield sub
        yield from _subclasses(sub)
