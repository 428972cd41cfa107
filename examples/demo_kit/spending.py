"""What the user's own models cost: their prices, and what a run may spend at most."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

from langchain_core.language_models import BaseChatModel

from cascade_core import InvalidConfiguration
from cascade_core.pricing import Price, UnknownPriceWarning, as_price, find_price

# Instruction, problem and template: the longest problem has 20 words.
INPUT_TOKENS = 100
# "Answer with the result only", and not every model obeys.
ANSWER_TOKENS = 100
# What a reasoning model may think about a sum before it answers.
REASONING_TOKENS = 2000
# Alone on the problems to fit on and on the held-out ones, then in each framework's cascade.
RUNS = 4
# The first request with log-probabilities, the one without, and LlamaIndex's.
FIRST_REQUESTS = 3


def stated_prices(specification: str, names: Sequence[str]) -> dict[str, Price]:
    """Return the prices in `PRICES="provider:model=0.1/0.4,..."`, for models that `names` has."""
    items = [item.strip() for item in specification.split(",") if item.strip()]
    prices = dict(_stated(item) for item in items)
    unknown = sorted(set(prices) - set(names))
    if unknown:
        raise SystemExit(f"PRICES names {unknown}, which MODELS does not: {list(names)}.")
    return prices


def _stated(item: str) -> tuple[str, Price]:
    name, _, numbers = item.rpartition("=")
    try:
        price = as_price(tuple(float(n) for n in numbers.split("/")))  # type: ignore[arg-type]
    except (ValueError, InvalidConfiguration) as error:
        raise SystemExit(
            f"PRICES has {item!r}. Write provider:model=INPUT/OUTPUT, in US dollars per million "
            'tokens: PRICES="openai:gpt-4.1-nano=0.1/0.4".'
        ) from error
    return name.strip(), price


def known_prices(names: Sequence[str], stated: Mapping[str, Price]) -> dict[str, Price]:
    """Return the price of every model, cheap to expensive; refuse to run without one."""
    found = {name: _price(name, stated) for name in names}
    prices = {name: price for name, price in found.items() if price is not None}
    unknown = [name for name in names if name not in prices]
    if unknown:
        example = ",".join(f"{name}=0.1/0.4" for name in unknown)
        raise SystemExit(
            f"No price is known for {', '.join(unknown)}, so nothing was asked: a policy weighs "
            "accuracy against dollars. Give input/output in US dollars per million tokens, such "
            f'as PRICES="{example}".'
        )
    if not any(price.input or price.output for price in prices.values()):
        raise SystemExit("Every price is 0: there are no dollars to save, so use the best model.")
    return dict(sorted(prices.items(), key=lambda item: item[1].cost_usd(1, 1)))


def _price(name: str, stated: Mapping[str, Price]) -> Price | None:
    provider, _, model = name.rpartition(":") if ":" in name else ("", "", name)
    with warnings.catch_warnings():
        # Said better, and before anything is spent, by the caller.
        warnings.simplefilter("ignore", UnknownPriceWarning)
        return find_price(name, model, provider or None, stated)


def announcement(
    clients: Mapping[str, BaseChatModel], prices: Mapping[str, Price], n_problems: int
) -> str:
    """Return how many requests a run makes at most, and what they may cost."""
    each = RUNS * n_problems + FIRST_REQUESTS
    dollars = sum(
        each * prices[name].cost_usd(INPUT_TOKENS, output_tokens(client))
        for name, client in clients.items()
    )
    amount = f"{dollars:,.2f}" if dollars >= 1 else f"{dollars:.4f}"
    lengths = ", ".join(f"{name} {output_tokens(client)}" for name, client in clients.items())
    return (
        f"This makes at most {each * len(clients)} requests and should stay below "
        f"${amount}, if replies have at most so many tokens: {lengths}. Ctrl-C stops it."
    )


def output_tokens(client: BaseChatModel) -> int:
    """Return an upper guess of a reply's tokens; a model that LangChain does not know may think."""
    profile = client.profile or {}
    return REASONING_TOKENS if profile.get("reasoning_output", True) else ANSWER_TOKENS
