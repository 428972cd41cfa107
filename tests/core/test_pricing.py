"""Money: what tokens cost, whose price wins, and that the unknown is never zero."""

import math
import warnings
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from genai_prices import Usage as TableUsage
from genai_prices import calc_price
from hypothesis import given
from hypothesis import strategies as st

from cascade_core import (
    Arm,
    InvalidConfiguration,
    MissingPrice,
    ModelCard,
    Price,
    ReservationIndexPolicy,
    RoutingPolicy,
    SingleModelPolicy,
    ThresholdCascade,
    UnknownPriceWarning,
    Usage,
    price_arms,
)
from cascade_core import Cascade as CascadeOf
from cascade_core.pricing import as_price

tokens = st.integers(0, 10**7)
dollars = st.floats(0, 1000)


@given(fresh=tokens, cached=tokens, output=tokens, a=dollars, b=dollars, c=dollars)
def test_a_call_costs_tokens_times_price_over_a_million(
    fresh: int, cached: int, output: int, a: float, b: float, c: float
) -> None:
    exact = (Fraction(a) * fresh + Fraction(b) * output + Fraction(c) * cached) / 1_000_000
    cost = Price(a, b, c).cost_usd(fresh + cached, output, cached)
    assert cost == pytest.approx(float(exact), rel=1e-12, abs=1e-300)


def test_cached_tokens_cost_as_much_as_others_unless_they_have_a_price() -> None:
    assert Price(2, 8).cost_usd(1000, 0, 600) == Price(2, 8).cost_usd(1000, 0)
    assert Price(2, 8, 0).cost_usd(1000, 0, 600) == pytest.approx(400 * 2 / 1e6)


def test_a_provider_that_does_not_count_cached_tokens_as_input_gives_no_negative_cost() -> None:
    assert Price(2, 8, 1).cost_usd(100, 0, 600) == pytest.approx(600 / 1e6)


def test_an_arm_prices_a_usage_and_knows_when_it_cannot() -> None:
    usage = Usage(1000, 100, 400)
    assert Arm("a", Price(2, 8, 1)).cost_usd(usage) == pytest.approx(0.0024)
    assert Arm("a").cost_usd(usage) is None


def test_usages_add_up_and_an_estimate_stays_one() -> None:
    total = Usage(1, 2, 3) + Usage(10, 20, 30, estimated=True)
    assert total == Usage(11, 22, 33, estimated=True)


NO_DOLLARS: list[Any] = [-1, -1e-9, math.nan, math.inf, -math.inf, True, False, "1", None, [1], 1j]


@pytest.mark.parametrize("bad", NO_DOLLARS, ids=repr)
def test_what_is_no_amount_of_dollars_is_refused(bad: Any) -> None:
    for make in (
        lambda: Price(bad, 1),
        lambda: Price(1, bad),
        lambda: as_price((bad, 1)),
        lambda: as_price((1, bad)),
    ):
        with pytest.raises(InvalidConfiguration, match=r"US dollars per million.*got"):
            make()
    if bad is not None:  # no price for cached tokens is none of their own
        with pytest.raises(InvalidConfiguration, match="US dollars per million"):
            Price(1, 1, bad)


@pytest.mark.parametrize(
    "given_", [(1,), (1, 2, 3, 4), (), 5, "12", "123", None, {1: 2, 3: 4}, {"input": 1}], ids=repr
)
def test_what_is_no_price_is_refused(given_: Any) -> None:
    with pytest.raises(InvalidConfiguration, match=r"A price is Price\(input=.*got"):
        as_price(given_)


def test_prices_come_as_tuples_too() -> None:
    assert as_price((1, 2)) == Price(1, 2)
    assert as_price((1, 2, 0.5)) == Price(1, 2, 0.5)
    assert as_price((np.float64(1), np.int64(2))) == Price(1, 2)
    assert as_price(price := Price(1, 2)) is price


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("gpt-4o-mini", None),
        ("gpt-4o-mini", "openai"),
        ("gpt-4o-mini", "a gateway that the table does not know"),
        ("claude-sonnet-4-5", "anthropic"),
        ("gpt-4", "openai"),
    ],
)
def test_a_known_model_costs_what_the_table_says(model: str, provider: str | None) -> None:
    (arm,) = price_arms([ModelCard("mine", model, provider)])
    usage = TableUsage(input_tokens=2000, cache_read_tokens=500, output_tokens=300)
    known = provider if provider in ("openai", "anthropic") else None
    expected = float(calc_price(usage, model, provider_id=known).total_price)
    assert arm.cost_usd(Usage(2000, 300, 500)) == pytest.approx(expected)


def test_the_users_price_wins_by_arm_name_then_by_model_name_then_the_table() -> None:
    card = ModelCard("cheap", "gpt-4o-mini", "openai")
    by_arm, by_model = Price(1, 1), Price(2, 2)
    both = {"gpt-4o-mini": by_model, "cheap": by_arm}
    assert price_arms([card], both)[0].price == by_arm
    assert price_arms([card], {"gpt-4o-mini": by_model})[0].price == by_model
    assert price_arms([card])[0].price not in (by_arm, by_model, None)


def test_one_price_by_model_name_serves_all_arms_of_that_model() -> None:
    cards = [ModelCard("cold", "same"), ModelCard("hot", "same")]
    assert [a.price for a in price_arms(cards, {"same": (1, 2)})] == [Price(1, 2)] * 2


def test_an_unknown_price_is_warned_about_once_and_is_no_zero() -> None:
    card = ModelCard("nobody-knows-this-model-1", "nobody-knows-this-model-1")
    with pytest.warns(UnknownPriceWarning, match=r"prices=\{'nobody-knows-this-model-1'") as seen:
        (arm,) = price_arms([card])
    assert len(seen) == 1
    assert arm.price is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert price_arms([card])[0].price is None


def test_a_price_of_ones_own_silences_the_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        price_arms([ModelCard("nobody-knows-this-model-2")], {"nobody-knows-this-model-2": (0, 0)})


def test_a_model_that_states_its_own_cost_is_not_looked_up() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (arm,) = price_arms([ModelCard("a cascade", "gpt-4o", states_cost=True)])
    assert arm.price is None


def test_a_price_for_no_model_is_refused_and_names_the_possible_ones() -> None:
    with pytest.raises(InvalidConfiguration, match=r"\['gpt-4o-mimi'\].*'cheap', 'gpt-4o-mini'"):
        price_arms([ModelCard("cheap", "gpt-4o-mini")], {"gpt-4o-mimi": (1, 2)})


def test_no_models_and_equal_names_are_refused() -> None:
    with pytest.raises(InvalidConfiguration, match="at least one model, got none"):
        price_arms([])
    with pytest.raises(InvalidConfiguration, match=r"got \['a'\] more than once.*Give names"):
        price_arms([ModelCard("a"), ModelCard("a")], {"a": (1, 2)})


@pytest.mark.parametrize("policy", [RoutingPolicy(1.0), ReservationIndexPolicy(1.0)])
def test_a_rule_that_weighs_dollars_refuses_arms_without_a_price(policy: Any) -> None:
    arms = [Arm("known", Price(1, 2)), Arm("unknown")]
    with pytest.raises(MissingPrice, match=r"\['unknown'\].*prices=\{'unknown': Price\("):
        CascadeOf.build(arms, policy)
    CascadeOf.build(arms[:1], policy)


@pytest.mark.parametrize(
    "policy",
    [
        None,
        SingleModelPolicy(1),
        ThresholdCascade((0, 1), (0.5,)),
        RoutingPolicy(0.0),
        ReservationIndexPolicy(0.0),
    ],
)
def test_other_rules_run_without_prices(policy: Any) -> None:
    CascadeOf.build([Arm("a"), Arm("b")], policy)
