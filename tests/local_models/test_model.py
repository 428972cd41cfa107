"""The NumPy models: exact, deterministic, bounded, and ordered in skill."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest

from local_models.model import NAMES, PRICES, SHAPES, WEIGHTS, LocalModel, Token
from local_models.problems import generate, grade
from local_models.tokenizer import END, REPLY, encode

MODELS = {name: LocalModel.load(name) for name in NAMES}
PROBLEMS = generate("calibration", 100, seed=3)
FLOORS = {"local-small": 0.4, "local-medium": 0.7, "local-large": 0.8}
PROMPT = "What date is 12 days after March 25?"


def text(tokens: list[Token]) -> str:
    return "".join(token.text for token in tokens)


def answer(model: LocalModel, prompt: str) -> str:
    return text(list(model.generate(prompt, max_tokens=12)))


@pytest.mark.parametrize("name", NAMES)
def test_decoding_with_the_cache_equals_recomputing_without(name: str) -> None:
    model = MODELS[name]
    tokens = [*encode(PROMPT), REPLY, *encode("April 16")]
    cache = model.new_cache(len(tokens))
    cut = len(tokens) - 4
    stepped = [model.next_logprobs(tokens[:cut], cache)]
    stepped += [model.next_logprobs([token], cache) for token in tokens[cut:]]
    for used, logprobs in enumerate(stepped, start=cut):
        whole = model.next_logprobs(tokens[:used], model.new_cache(used))
        np.testing.assert_allclose(np.exp(logprobs), np.exp(whole), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_probabilities_sum_to_one(name: str) -> None:
    model = MODELS[name]
    tokens = [*encode(PROMPT), REPLY]
    logprobs = model.next_logprobs(tokens, model.new_cache(len(tokens)))
    assert np.exp(logprobs.astype(float)).sum() == pytest.approx(1.0, abs=1e-5)
    assert (logprobs <= 0).all()


def test_greedy_decoding_is_deterministic_and_takes_the_likeliest() -> None:
    model = MODELS["local-small"]
    first = list(model.generate(PROMPT, max_tokens=12, top_logprobs=3))
    assert first == list(model.generate(PROMPT, max_tokens=12, top_logprobs=3))
    for token in first:
        assert token.top[0] == (token.text, token.logprob)
        assert len(token.top) == 3
        assert all(a[1] >= b[1] for a, b in pairwise(token.top))


def test_a_seed_reproduces_a_draw_and_draws_follow_the_distribution() -> None:
    model = MODELS["local-small"]

    def draw(seed: int) -> Token:
        return next(model.generate(PROMPT, max_tokens=1, temperature=1.0, seed=seed))

    assert draw(5) == draw(5)
    likeliest = next(model.generate(PROMPT, max_tokens=1))
    share = np.mean([draw(seed).text == likeliest.text for seed in range(400)])
    chance = np.exp(likeliest.logprob)
    assert abs(share - chance) < 4 * np.sqrt(chance * (1 - chance) / 400) + 1e-9


def test_threads_share_a_model() -> None:
    model = MODELS["local-medium"]
    prompts = [problem.prompt for problem in PROBLEMS[:40]]
    alone = [answer(model, prompt) for prompt in prompts]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda prompt: answer(model, prompt), prompts)) == alone


def test_limits_and_refusals() -> None:
    model = MODELS["local-small"]
    assert len(list(model.generate(PROMPT, max_tokens=1))) == 1
    assert not list(model.generate(PROMPT, max_tokens=0))
    list(model.generate("7 " * ((model.max_context_tokens - 2) // 2), max_tokens=999))
    with pytest.raises(ValueError, match="Shorten the prompt"):
        model.generate("7 " * model.max_context_tokens, max_tokens=1)
    with pytest.raises(ValueError, match="local-small, local-medium, local-large"):
        LocalModel.load("local-huge")


def test_any_text_is_answered() -> None:
    for prompt in ("", "Wibble \u2603 \x00?", "hello there"):
        answer(MODELS["local-small"], prompt)


def test_tokens_are_counted_as_they_are_read() -> None:
    assert MODELS["local-large"].count_tokens("What is 12 plus 7?") == 7
    assert END not in encode("<end>")


def test_prices_are_proportional_to_work_and_at_least_five_times_apart() -> None:
    for cheap, dear in pairwise(NAMES):
        assert PRICES[dear][1] >= 5 * PRICES[cheap][1]
        work = SHAPES[dear].flops_per_token / SHAPES[cheap].flops_per_token
        assert PRICES[dear][1] / PRICES[cheap][1] == pytest.approx(work, rel=1e-3)
    assert PRICES["local-large"] == (10.0, 10.0)


def test_weights_are_small() -> None:
    assert sum(path.stat().st_size for path in WEIGHTS.iterdir()) <= 2_000_000


def test_larger_models_are_better_and_sure_where_they_are_right() -> None:
    accuracy = {}
    for name, model in MODELS.items():
        replies = [list(model.generate(p.prompt, max_tokens=12)) for p in PROBLEMS]
        right = np.array([grade(p, text(r)) for p, r in zip(PROBLEMS, replies, strict=True)])
        score = np.array([min((t.logprob for t in r), default=-99.0) for r in replies])
        accuracy[name] = right.mean()
        assert accuracy[name] >= FLOORS[name]
        assert np.median(score[right]) > np.median(score[~right])
    assert accuracy["local-small"] < accuracy["local-medium"] < accuracy["local-large"]


def test_importing_the_model_does_not_import_torch() -> None:
    code = "import sys, local_models.model; assert 'torch' not in sys.modules"
    path = str(WEIGHTS.parents[1])
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": path})
