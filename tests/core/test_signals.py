"""What is read from a reply: tables of cases, false alarms included."""

import math
from typing import Any

import pytest

from cascade_core import DEFAULT_SIGNALS, Arm, Reply, Request, Signal, Usage
from cascade_core.estimators import (
    AssumedConfidence,
    CalibratedConfidence,
    ExAnteEstimator,
    ExPostEstimator,
    PriorEstimator,
)
from cascade_core.pricing import Price
from cascade_core.signals import (
    EmptinessSignal,
    FinishReasonSignal,
    PlattCalibrator,
    RefusalSignal,
    TokenProbabilitySignal,
)


def reply(text: str = "an answer", **more: Any) -> Reply[None]:
    return Reply(None, text, Usage(), **more)


@pytest.mark.parametrize(
    "reason", ["length", "max_tokens", "MAX_TOKENS", "Length", "max_output_tokens", "model_length"]
)
def test_a_reply_that_was_cut_off_is_rejected(reason: str) -> None:
    assert FinishReasonSignal().read(reply(finish_reason=reason)).rejected_by == "truncated"


@pytest.mark.parametrize(
    "reason", [None, "", "stop", "STOP", "end_turn", "tool_calls", "tool_use", "content_filter"]
)
def test_a_reply_that_came_to_its_end_is_not_truncated(reason: str | None) -> None:
    assert FinishReasonSignal().read(reply(finish_reason=reason)).rejected_by is None


@pytest.mark.parametrize("text", ["", " ", "\n\t \n", "\u2003"])
def test_a_reply_without_text_or_tool_calls_is_empty(text: str) -> None:
    assert EmptinessSignal().read(reply(text)).rejected_by == "empty"
    assert EmptinessSignal().read(reply(text, has_tool_calls=True)).rejected_by is None


@pytest.mark.parametrize("text", ["0", ".", "no", "{}"])
def test_a_short_reply_is_not_empty(text: str) -> None:
    assert EmptinessSignal().read(reply(text)).rejected_by is None


REFUSALS = [
    "I'm sorry, but I can't assist with that.",
    "I’m sorry, but I can’t help with that request.",
    "I am sorry, I cannot provide that information.",
    "I'm very sorry, but I cannot help you with this.",
    "I'm sorry. I can't help with that.",
    "Sorry, I can't help with that.",
    "I can't help with that.",
    "I cannot assist with this request.",
    "I can not answer this question.",
    "I apologize, but I cannot fulfill this request.",
    "I apologise, but I can't continue with this.",
    "Unfortunately, I cannot help with that.",
    "I won't help with that.",
    "I'm unable to help with that.",
    "I’m unable to assist.",
    "I am unable to provide medical advice.",
    "I'm not able to discuss that.",
    "I am not able to help.",
    "As an AI language model, I cannot engage in that.",
    "I'm sorry, but as an AI language model, I can't create such content.",
    "\n\n  I cannot help with that.",
    "I CANNOT HELP WITH THAT.",
]
ANSWERS = [
    "I can't stress enough how important sleep is.",
    "I cannot see why not: the answer is 4",
    "I can't help but notice that both sides are equal, so x = 3.",
    "I cannot help but agree: 12.",
    "I can help with that: the answer is 4.",
    "The answer is 4. I can't help with the second part without the figure.",
    "He said: I cannot help with that.",
    "Sorry for the delay, the answer is 4.",
    "I'm sorry to hear that. Here is what to do: ...",
    "Unfortunately, the train leaves at 5.",
    "I can't find any error in this proof.",
    "As an AI language model, I compute 2 + 2 = 4.",
    "I can't wait to show you: 42",
    "I won't keep you waiting: 42",
    "Icannot help",
    "4",
    "",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_a_reply_that_opens_as_a_refusal_is_rejected(text: str) -> None:
    assert RefusalSignal().read(reply(text)).rejected_by == "refusal"


@pytest.mark.parametrize("text", ANSWERS)
def test_an_answer_is_not_mistaken_for_a_refusal(text: str) -> None:
    assert RefusalSignal().read(reply(text)).rejected_by is None


@pytest.mark.parametrize("reason", ["content_filter", "SAFETY", "refusal", "PROHIBITED_CONTENT"])
def test_what_the_provider_marks_as_refused_is_rejected_in_any_language(reason: str) -> None:
    assert RefusalSignal().read(reply("Nein.", finish_reason=reason)).rejected_by == "refusal"
    assert RefusalSignal().read(reply("Nein.", refusal="policy")).rejected_by == "refusal"


def test_words_beside_a_tool_call_are_no_refusal() -> None:
    said = reply("I can't answer from memory, so I look it up.", has_tool_calls=True)
    assert RefusalSignal().read(said).rejected_by is None


def test_a_long_reply_costs_no_more_to_read_than_a_short_one() -> None:
    class Counting(str):
        """A text that tells how much of it was sliced off."""

        taken = 0

        def __getitem__(self, key: Any) -> str:
            part = super().__getitem__(key)
            Counting.taken = max(Counting.taken, len(part))
            return part

    RefusalSignal().read(reply(Counting(" " * 1_000_000)))
    assert Counting.taken <= 200


LOG_HALF = math.log(0.5)


@pytest.mark.parametrize(
    ("logprobs", "mean", "minimum"),
    [
        ((LOG_HALF,), 0.5, 0.5),
        ((LOG_HALF, 0.0), math.sqrt(0.5), 0.5),
        ((0.0, 0.0, 0.0), 1.0, 1.0),
        ((-math.inf, 0.0), 0.0, 0.0),
        ((-9999.0,), 0.0, 0.0),
        ((-9999.0, LOG_HALF), 0.0, 0.0),
        ((1e-9,), 1.0, 1.0),  # some providers round up to a hair above 0
        ((1e-9, LOG_HALF), math.sqrt(0.5), 0.5),
        ((math.log(0.9), math.log(0.8), math.log(0.1)), 0.072 ** (1 / 3), 0.1),
    ],
)
def test_token_probabilities_are_the_geometric_mean_and_the_minimum(
    logprobs: tuple[float, ...], mean: float, minimum: float
) -> None:
    values = TokenProbabilitySignal().read(reply(token_logprobs=logprobs)).values
    assert values["mean_token_probability"] == pytest.approx(mean, abs=1e-8)
    assert values["min_token_probability"] == pytest.approx(minimum, abs=1e-8)
    assert all(0 <= v <= 1 for v in values.values())


@pytest.mark.parametrize("logprobs", [None, (), (math.nan,), (LOG_HALF, math.nan, 0.0)])
def test_no_number_is_no_signal_and_never_certainty(logprobs: tuple[float, ...] | None) -> None:
    reading = TokenProbabilitySignal().read(reply(token_logprobs=logprobs))
    assert not reading.values and reading.rejected_by is None


def test_doubt_alone_rejects_nothing() -> None:
    assert TokenProbabilitySignal().read(reply(token_logprobs=(-50.0,))).rejected_by is None


def test_the_default_signals_are_signals_and_say_nothing_against_a_plain_answer() -> None:
    for signal in DEFAULT_SIGNALS:
        assert isinstance(signal, Signal)
        reading = signal.read(reply(finish_reason="stop"))
        assert reading.rejected_by is None and not reading.values


def test_without_a_signal_a_reply_is_assumed_good_and_with_one_it_is_taken_at_its_word() -> None:
    assert AssumedConfidence().quality(0, {}) == 1.0
    assert AssumedConfidence().quality(0, {"mean_token_probability": 0.3}) == 0.3


def test_calibrated_confidence_reads_each_arms_own_signal() -> None:
    calibrated = CalibratedConfidence(
        signals=("a", "b"),
        calibrators=(PlattCalibrator(1.0, 0.0), PlattCalibrator(0.0, 0.0)),
        base_rates=(0.25, 0.75),
    )
    both = {"a": 0.9, "b": 0.9}
    assert calibrated.quality(0, both) == pytest.approx(0.9)
    assert calibrated.quality(1, both) == pytest.approx(0.5)
    assert calibrated.quality(0, {"b": 0.9}) == 0.25, "the base rate where the signal is missing"
    assert isinstance(calibrated, ExPostEstimator)


def test_the_cold_start_believes_that_later_arms_are_better_and_knows_no_unknown_cost() -> None:
    prior = PriorEstimator.assumed((Arm("a", Price(1, 2)), Arm("b")))
    belief = prior.estimate(Request("anything"))
    assert belief.mean[0] < belief.mean[1]
    assert belief.cost[0] == pytest.approx((1000 * 1 + 300 * 2) / 1e6)
    assert math.isnan(belief.cost[1]), "unknown, never zero"
    assert prior.estimate(Request("something else")) is belief
    assert isinstance(prior, ExAnteEstimator)
    assert PriorEstimator.assumed((Arm("only"),)).estimate(Request()).mean.shape == (1,)
