"""Train the three models from scratch and write their weights.

    python examples/local_models/train.py [--out weights] [--only local-small]

Needs torch 2.9 or later, for Muon (the models themselves need NumPy only). All three took 35
minutes on two cores that other programs used as well.
"""

import argparse
import math
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from local_models.model import NAMES, SHAPES, WEIGHTS, LocalModel, Shape, rotation
from local_models.problems import FAMILIES, SPLITS, Problem, generate, grade, stream
from local_models.tokenizer import END, PAD, REPLY, UNKNOWN, VOCABULARY, encode

SEED = 20
BATCH = 64  # problems a step
MICRO_BATCHES = 2  # a step's problems, sorted by length and cut in two: less padding, same gradient
UNKNOWN_RATE = 0.003  # of prompt tokens, so that the model has met a word it does not know
MUON_RATE = 0.02
ADAM_RATE = 0.004
# (steps at the full rate, steps in all): the rate then falls to nothing in a line. The fall brings
# most of the skill, so the large model, whose steps are dear, begins it early.
SCHEDULES = {
    "local-small": (10_000, 20_000),
    "local-medium": (10_000, 15_500),
    "local-large": (4_750, 11_500),
}


class Block(nn.Module):
    """Attention and a squared-ReLU network, each behind a norm and beside a residual path."""

    def __init__(self, shape: Shape) -> None:
        """Output matrices start at zero, so that a new block changes nothing."""
        super().__init__()
        width, hidden = shape.width, shape.hidden
        self.heads = shape.heads
        self.qkv = nn.Parameter(torch.randn(width, 3 * width) / math.sqrt(width))
        self.sharpness = nn.Parameter(torch.ones(shape.heads, 1, 1))
        self.out = nn.Parameter(torch.zeros(width, width))
        self.up = nn.Parameter(torch.randn(width, hidden) / math.sqrt(width))
        self.down = nn.Parameter(torch.zeros(hidden, width))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """(batch, length, width) to the same."""
        batch, length, width = x.shape
        qkv = (_norm(x) @ self.qkv).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k = _rotate(_norm(qkv[:2]), cos, sin)
        mixed = F.scaled_dot_product_attention(q * self.sharpness, k, qkv[2], is_causal=True)
        x = x + mixed.transpose(1, 2).reshape(batch, length, width) @ self.out
        return x + F.relu(_norm(x) @ self.up).square() @ self.down


class Network(nn.Module):
    """The decoder-only transformer of model.py, in torch."""

    def __init__(self, shape: Shape) -> None:
        """Draw the starting weights from torch's global generator."""
        super().__init__()
        self.embed = nn.Parameter(0.02 * torch.randn(len(VOCABULARY), shape.width))
        self.gain = nn.Parameter(torch.full((shape.width,), 1.0))
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        cos, sin = rotation(shape)
        self.register_buffer("cos", torch.from_numpy(cos), persistent=False)
        self.register_buffer("sin", torch.from_numpy(sin), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Token ids (batch, length) to last hidden states (batch, length, width)."""
        cos, sin = self.cos[: tokens.shape[1]], self.sin[: tokens.shape[1]]
        x = _norm(self.embed[tokens])
        for block in self.blocks:
            x = block(x, cos, sin)
        return _norm(x) * self.gain


def _norm(x: Tensor) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],), eps=1e-6)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)


def _batches(steps: int) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """For every step its micro-batches of (tokens, targets); target PAD counts for nothing."""
    source = stream("train", SEED)
    rng = np.random.default_rng(SEED)
    for _ in range(steps):
        rows = sorted((_row(p, rng) for p in islice(source, BATCH)), key=lambda row: len(row[0]))
        size = BATCH // MICRO_BATCHES
        yield [_pad(rows[i : i + size]) for i in range(0, BATCH, size)]


def _row(problem: Problem, rng: np.random.Generator) -> tuple[list[int], int]:
    """One problem's tokens and where its reply begins."""
    prompt = encode(problem.prompt)
    if rng.random() < UNKNOWN_RATE * len(prompt):
        prompt[rng.integers(len(prompt))] = UNKNOWN
    return [*prompt, REPLY, *encode(problem.answer), END], len(prompt) + 1


def _pad(rows: list[tuple[list[int], int]]) -> tuple[Tensor, Tensor]:
    length = max(len(tokens) for tokens, _ in rows)
    tokens = np.full((len(rows), length), PAD)
    targets = np.full((len(rows), length), PAD)
    for i, (row, start) in enumerate(rows):
        tokens[i, : len(row)] = row
        targets[i, start - 1 : len(row) - 1] = row[start:]
    return torch.from_numpy(tokens), torch.from_numpy(targets)


def _loss_sum(network: Network, tokens: Tensor, targets: Tensor) -> Tensor:
    """Summed negative log-likelihood of the reply tokens."""
    counted = targets != PAD
    logits = network(tokens)[counted] @ network.embed.T
    return F.cross_entropy(logits, targets[counted], reduction="sum")


def train(name: str, hold: int, steps: int, path: Path) -> None:
    """Train one model: `hold` steps at the full rate, `steps` in all; weights go to `path`."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    network = Network(SHAPES[name])
    matrices = [p for p in network.blocks.parameters() if p.ndim == 2]
    others = [p for p in network.parameters() if not any(p is m for m in matrices)]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.Muon(matrices, lr=MUON_RATE, momentum=0.95, weight_decay=0.01),
        torch.optim.AdamW(others, lr=ADAM_RATE, betas=(0.9, 0.98), weight_decay=0.0),
    ]
    rates = (MUON_RATE, ADAM_RATE)
    start, running = time.perf_counter(), 0.0
    for step, batch in enumerate(_batches(steps)):
        fraction = min(1.0, (step + 1) / 100, (steps - step) / (steps - hold))
        for optimizer, rate in zip(optimizers, rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate * fraction
        counts = sum(int((targets != PAD).sum()) for _, targets in batch)
        total = 0.0
        for tokens, targets in batch:
            loss = _loss_sum(network, tokens, targets) / counts
            loss.backward()
            total += float(loss.detach())
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        running = total if step == 0 else 0.98 * running + 0.02 * total
        if (step + 1) % 1000 == 0 or step + 1 == steps:
            save(network, path)
            spent = time.perf_counter() - start
            print(f"{name} step {step + 1}/{steps} loss {running:.4f} {spent:.0f} s", flush=True)


def save(network: Network, path: Path) -> None:
    """Write the weights as float16 arrays."""
    arrays = {k: v.detach().numpy().astype(np.float16) for k, v in network.state_dict().items()}
    np.savez(path, **arrays)


def report(split: str, n: int, seed: int = 0) -> None:
    """Print accuracy by family, and how well log-probabilities tell right from wrong."""
    problems = generate(split, n, seed)
    families = np.array([problem.family for problem in problems])
    right, scores = {}, {}
    for name in NAMES:
        model = LocalModel.load(name)
        replies = [list(model.generate(p.prompt, max_tokens=12)) for p in problems]
        texts = ("".join(token.text for token in reply) for reply in replies)
        right[name] = np.array([grade(p, text) for p, text in zip(problems, texts, strict=True)])
        logprobs = [[token.logprob for token in reply] or [-99.0] for reply in replies]
        scores[name] = [np.array([f(each) for each in logprobs]) for f in (np.min, np.mean)]
    print(f"{split} split, n = {n} | n | " + " | ".join(NAMES))
    for family in FAMILIES:
        chosen = families == family
        row = " | ".join(f"{right[name][chosen].mean():.1%}" for name in NAMES)
        print(f"{family} | {chosen.sum()} | {row}")
    print("all | " + " | ".join(f"{right[name].mean():.1%}" for name in NAMES))
    for i, label in enumerate(("lowest", "mean")):
        row = " | ".join(f"{_auroc(scores[name][i], right[name]):.3f}" for name in NAMES)
        print(f"AUROC of the {label} log-probability | {row}")


def _auroc(scores: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Chance that a right reply scores above a wrong one, ties counting a half."""
    above = scores[right][:, None] - scores[~right][None, :]
    return float(np.mean((above > 0) + 0.5 * (above == 0)))


def main() -> None:
    """Train every model, or those asked for, then report on held-out problems."""
    parser = argparse.ArgumentParser(description="Train the local models.")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="folder of the weights")
    parser.add_argument("--only", choices=NAMES, action="append", help="train this model")
    parser.add_argument("--scale", type=float, default=1.0, help="multiply the number of steps")
    parser.add_argument("--report", choices=SPLITS, help="no training: report on this split")
    options = parser.parse_args()
    if options.report:
        report(options.report, n=2000)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    # Matrices this small keep one core busy but not two: so one thread a model, two models at once,
    # and the longest first. One thread also makes a run repeat to the bit.
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        jobs = [
            pool.submit(
                train,
                name,
                *(int(options.scale * count) for count in SCHEDULES[name]),
                options.out / f"{name}.npz",
            )
            for name in reversed(options.only or NAMES)
        ]
        for job in jobs:
            job.result()


if __name__ == "__main__":
    main()
