"""Decoder-only transformers in NumPy: load, count tokens, generate with log-probabilities.

Pre-norm blocks (RMS norm, no gains), rotary positions, normed queries and keys, a squared-ReLU
network, tied embeddings. `train.py` holds the same network in torch.
"""

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .tokenizer import END, PAD, REPLY, UNKNOWN, VOCABULARY, encode, piece

Array: TypeAlias = NDArray[np.float32]

MAX_CONTEXT_TOKENS = 128
WEIGHTS = Path(__file__).parent / "weights"
_NEVER_SAID = [PAD, UNKNOWN, REPLY]
_REFERENCE_CONTEXT = 16  # tokens that a typical token attends to: a problem with its reply has 17


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a transformer; `width` divides by `heads`, and the quotient is even."""

    layers: int
    width: int
    heads: int
    hidden: int

    @property
    def parameters(self) -> int:
        """Number of weights without the embedding."""
        return self.layers * (4 * self.width**2 + 2 * self.width * self.hidden)

    @property
    def flops_per_token(self) -> int:
        """Floating-point operations to process one token (a multiply and an add are two).

        Every weight is used once, the tied embedding once (for the logits), and attention takes
        two products of `width` numbers with each token attended to.
        """
        logits = len(VOCABULARY) * self.width
        attention = 2 * self.layers * self.width * _REFERENCE_CONTEXT
        return 2 * (self.parameters + logits + attention)


SHAPES: dict[str, Shape] = {
    "local-small": Shape(layers=2, width=24, heads=2, hidden=72),
    "local-medium": Shape(layers=3, width=48, heads=3, hidden=176),
    "local-large": Shape(layers=4, width=96, heads=4, hidden=384),
}
NAMES: tuple[str, ...] = tuple(SHAPES)  # cheap to expensive

# A price is a constant times the work per token, the same for reading and for writing, because
# a token costs the same work either way; the constant makes local-large cost 10 dollars.
_USD_PER_MILLION_PER_FLOP = 10.0 / SHAPES["local-large"].flops_per_token
PRICES: dict[str, tuple[float, float]] = {
    name: (price, price)
    for name, shape in SHAPES.items()
    for price in (round(_USD_PER_MILLION_PER_FLOP * shape.flops_per_token, 4),)
}  # (input, output) in US dollars per million tokens


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a reply; the texts of a reply's tokens, joined, are the reply."""

    text: str
    logprob: float  # natural logarithm, under the model's distribution at temperature 1
    top: tuple[tuple[str, float], ...]  # the likeliest (text, logprob), likeliest first


@dataclass(frozen=True, slots=True)
class _Layer:
    """Weights of one block; `qkv` is (width, 3 width), and so on."""

    qkv: Array
    sharpness: Array  # (heads, 1, 1): how hard each head picks
    out: Array
    up: Array
    down: Array


class _Cache:
    """Keys and values of one reply, each (layers, heads, capacity, head width)."""

    def __init__(self, shape: Shape, capacity: int) -> None:
        size = (shape.layers, shape.heads, capacity, shape.width // shape.heads)
        self.keys: Array = np.empty(size, np.float32)
        self.values: Array = np.empty(size, np.float32)
        self.length = 0


@dataclass(frozen=True)
class LocalModel:
    """A trained model. It holds weights alone, so threads may share it."""

    name: str
    shape: Shape
    embedding: Array  # (vocabulary, width)
    gain: Array  # (width,)
    layers: tuple[_Layer, ...]

    max_context_tokens = MAX_CONTEXT_TOKENS

    @classmethod
    def load(cls, name: str) -> "LocalModel":
        """The model of that name, from the weights folder beside this file.

        Raises:
            ValueError: for a name that is not in `NAMES`.
            FileNotFoundError: if the weights are not there.
        """
        if name not in SHAPES:
            raise ValueError(f"No local model {name!r}; there are {', '.join(NAMES)}.")
        path = WEIGHTS / f"{name}.npz"
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing; run train.py beside it to make it.")
        shape = SHAPES[name]
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = {key: stored[key].astype(np.float32) for key in stored.files}
            layers = tuple(_layer(arrays, i) for i in range(shape.layers))
            model = cls(name, shape, arrays["embed"], arrays["gain"], layers)
        except (KeyError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} does not hold the weights of {name}.") from error
        if model.embedding.shape != (len(VOCABULARY), shape.width):
            raise ValueError(f"{path} was trained with another vocabulary or width; train again.")
        return model

    @property
    def flops_per_token(self) -> int:
        """Floating-point operations per token, see `Shape.flops_per_token`."""
        return self.shape.flops_per_token

    def count_tokens(self, text: str) -> int:
        """Number of tokens in `text`."""
        return len(encode(text))

    def generate(
        self,
        prompt: str,
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int | None = None,
        top_logprobs: int = 0,
    ) -> Iterator[Token]:
        """Yield the tokens of the reply until the model ends it, or the room does.

        Args:
            prompt: the question; unknown words are read as one and the same unknown token.
            max_tokens: most tokens to yield; the reply also ends where the context is full.
            temperature: 0 takes the likeliest token; above, tokens are drawn.
            seed: of the draws; without it they differ from call to call.
            top_logprobs: how many alternatives to report with each token.

        Raises:
            ValueError: at once, if the prompt does not fit, or a number is out of range.
        """
        if temperature < 0 or max_tokens < 0 or top_logprobs < 0:
            raise ValueError("temperature, max_tokens and top_logprobs must not be negative.")
        tokens = [*encode(prompt), REPLY]
        room = self.max_context_tokens - len(tokens)
        if room < 1:
            raise ValueError(
                f"The prompt has {len(tokens) - 1} tokens; {self.name} takes at most "
                f"{self.max_context_tokens - 2}. Shorten the prompt."
            )
        rng = np.random.default_rng(seed)
        return self._reply(tokens, min(max_tokens, room), temperature, rng, top_logprobs)

    def _reply(
        self, tokens: list[int], most: int, temperature: float, rng: np.random.Generator, top: int
    ) -> Iterator[Token]:
        # The cache belongs to this call: that is what makes one model safe for many threads.
        cache = _Cache(self.shape, len(tokens) + most)
        pending, previous = tokens, None
        for _ in range(most):
            logprobs = self.next_logprobs(pending, cache)
            token = _pick(logprobs, temperature, rng)
            if token == END:
                return
            likeliest = np.argsort(-logprobs, kind="stable")[:top].tolist() if top else []
            yield Token(
                piece(token, previous),
                float(logprobs[token]),
                tuple((piece(i, previous), float(logprobs[i])) for i in likeliest),
            )
            pending, previous = [token], token

    def new_cache(self, capacity: int) -> _Cache:
        """An empty cache for `capacity` tokens."""
        return _Cache(self.shape, capacity)

    def next_logprobs(self, tokens: list[int], cache: _Cache) -> Array:
        """Log-probabilities (vocabulary,) of the token after the cached ones and `tokens`.

        All of `tokens` go through the network in one pass, and into the cache.
        """
        start, end = cache.length, cache.length + len(tokens)
        cos, sin = (table[start:end] for table in self._rotation)
        x = _norm(self.embedding[tokens])
        for i, layer in enumerate(self.layers):
            x = self._attend(x, layer, cache.keys[i], cache.values[i], start, cos, sin)
            hidden = np.maximum(_norm(x) @ layer.up, 0.0)
            x += (hidden * hidden) @ layer.down
        cache.length = end
        logits: Array = self.embedding @ (_norm(x[-1]) * self.gain)
        logits[_NEVER_SAID] = -np.inf
        logits -= logits.max()
        logits -= np.log(np.exp(logits).sum())
        return logits

    def _attend(
        self,
        x: Array,
        layer: _Layer,
        keys: Array,
        values: Array,
        start: int,
        cos: Array,
        sin: Array,
    ) -> Array:
        """Causal attention of (length, width) to itself and to what is cached, plus `x`."""
        length, width = x.shape
        end = start + length
        heads = self.shape.heads
        q, k, v = (_norm(x) @ layer.qkv).reshape(length, 3, heads, -1).transpose(1, 2, 0, 3)
        keys[:, start:end] = _rotate(_norm(k), cos, sin)
        values[:, start:end] = v
        q = _rotate(_norm(q), cos, sin) * (layer.sharpness / np.float32(np.sqrt(width // heads)))
        scores = q @ keys[:, :end].transpose(0, 2, 1)  # (heads, length, end)
        if length > 1:
            scores += np.triu(np.full((length, end), -np.inf, np.float32), start + 1)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        scores /= scores.sum(-1, keepdims=True)
        mixed = (scores @ values[:, :end]).transpose(1, 0, 2).reshape(length, width)
        attended: Array = x + mixed @ layer.out
        return attended

    @cached_property
    def _rotation(self) -> tuple[Array, Array]:
        return rotation(self.shape)


def rotation(shape: Shape) -> tuple[Array, Array]:
    """Cosine and sine of the rotary angles, each (MAX_CONTEXT_TOKENS, head width / 2)."""
    half = shape.width // shape.heads // 2
    # Problems are short: with base 500 even the slowest pairs turn visibly in one.
    frequencies = 500.0 ** -(np.arange(half) / half)
    angles = np.outer(np.arange(MAX_CONTEXT_TOKENS), frequencies)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def _layer(arrays: dict[str, Array], i: int) -> _Layer:
    return _Layer(
        *(arrays[f"blocks.{i}.{part}"] for part in ("qkv", "sharpness", "out", "up", "down"))
    )


def _norm(x: Array) -> Array:
    """Scale the last axis to a root mean square of one."""
    square = np.einsum("...i,...i->...", x, x)[..., None] / np.float32(x.shape[-1])
    scaled: Array = x / np.sqrt(square + np.float32(1e-6))
    return scaled


def _rotate(x: Array, cos: Array, sin: Array) -> Array:
    """Turn the halves of the last axis of (heads, length, head width) by the rotary angles."""
    half = x.shape[-1] // 2
    a, b = x[..., :half], x[..., half:]
    return np.concatenate((a * cos - b * sin, a * sin + b * cos), axis=-1)


def _pick(logprobs: Array, temperature: float, rng: np.random.Generator) -> int:
    """The likeliest token, or one drawn at the temperature (Gumbel's trick)."""
    if temperature == 0:
        return int(logprobs.argmax())
    noise = rng.gumbel(size=logprobs.shape)
    return int((logprobs / temperature + noise).argmax())
