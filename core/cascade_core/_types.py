"""The vocabulary: what a request, a reply, a belief, a decision and an outcome are.

All money in US dollars, all times in seconds, quality in [0, 1]. Everything here is immutable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Generic, Protocol, TypeVar

import numpy as np

from cascade_core._arrays import FloatArray
from cascade_core._gaussian import condition
from cascade_core.errors import InvalidBelief
from cascade_core.pricing import Price

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call, as the provider counts them.

    ``input_tokens`` includes the cached ones. ``estimated`` marks our own count, made where the
    provider gave none.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    estimated: bool = False

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_input_tokens + other.cached_input_tokens,
            self.estimated or other.estimated,
        )


@dataclass(frozen=True, slots=True)
class Arm:
    """Anything that can answer: its unique name and, if known, its price."""

    name: str
    price: Price | None = None

    def cost_usd(self, usage: Usage) -> float | None:
        """Return the dollars that ``usage`` costs here; None if the price is unknown."""
        if self.price is None:
            return None
        return self.price.cost_usd(
            usage.input_tokens, usage.output_tokens, usage.cached_input_tokens
        )


@dataclass(frozen=True, slots=True)
class Request:
    """What an ex-ante estimator may look at.

    ``text`` is a bounded view of the conversation, the last user turn by default, so that a
    decision never scans a long history. ``row`` is the row of an outcome table in a replay.
    ``unavailable`` are the indices of arms that cannot serve this request, such as models without
    tools where tools are asked for: they are no arms for it. ``draw`` is a number in [0, 1) that
    breaks ties, from a hash of the run: the same run is decided the same way again. ``domain`` is
    the kind of request, where the caller knows it.
    """

    text: str = ""
    row: int | None = None
    unavailable: frozenset[int] = frozenset()
    draw: float = 0.0
    domain: str | None = None


@dataclass(frozen=True, slots=True)
class Reply(Generic[T]):
    """An answer of one arm.

    Attributes:
        value: The framework's own reply object; opaque to the core.
        text: The visible text, "" for a pure tool call.
        usage: Tokens of the call.
        finish_reason: As the provider says it, for example "stop", "length", "content_filter".
        token_logprobs: Natural log-probabilities of the output tokens; None if not requested.
        has_tool_calls: True if the model asks for tools.
        refusal: The provider's own refusal text or reason, if it marked one.
        cost_usd: Dollars, where the reply itself states them (a log, a nested cascade).
        latency_seconds: Set by a replay; the drivers measure it otherwise.
    """

    value: T
    text: str
    usage: Usage
    finish_reason: str | None = None
    token_logprobs: tuple[float, ...] | None = None
    has_tool_calls: bool = False
    refusal: str | None = None
    cost_usd: float | None = None
    latency_seconds: float | None = None


@dataclass(frozen=True, eq=False)
class Belief:
    """What is thought of every arm's quality on this request before it answers, and of its cost.

    Attributes:
        mean: Expected quality, shape (n_arms,), in [0, 1].
        covariance: Covariance of the qualities, shape (n_arms, n_arms), positive semi-definite.
        cost: Expected dollars of a call, shape (n_arms,), >= 0; NaN where the price is unknown.
    """

    mean: FloatArray
    covariance: FloatArray
    cost: FloatArray

    def __post_init__(self) -> None:
        n = self.mean.shape[0] if self.mean.ndim == 1 else 0
        if n == 0 or self.covariance.shape != (n, n) or self.cost.shape != (n,):
            raise InvalidBelief(
                "Belief needs mean (n,), covariance (n, n) and cost (n,) with n >= 1, got shapes "
                f"{self.mean.shape}, {self.covariance.shape}, {self.cost.shape}."
            )
        if not (np.isfinite(self.mean).all() and (np.abs(self.mean - 0.5) <= 0.5).all()):
            raise InvalidBelief(f"Belief needs mean quality in [0, 1], got {self.mean.tolist()}.")
        if not np.isfinite(self.covariance).all() or (np.diag(self.covariance) < 0).any():
            raise InvalidBelief(
                "Belief needs a finite covariance with variances >= 0, got "
                f"{self.covariance.tolist()}."
            )
        if (self.cost < 0).any() or np.isinf(self.cost).any():
            raise InvalidBelief(
                "Belief needs cost >= 0 in US dollars (NaN where unknown), got "
                f"{self.cost.tolist()}."
            )

    @classmethod
    def independent(cls, mean: FloatArray, sd: FloatArray, cost: FloatArray) -> Belief:
        """Return a belief with independent qualities; all three of shape (n_arms,)."""
        mean, sd, cost = (np.asarray(a, dtype=np.float64) for a in (mean, sd, cost))
        if not (np.isfinite(sd).all() and (sd >= 0).all()):
            raise InvalidBelief(f"Belief needs sd >= 0, got {sd.tolist()}.")
        return cls(mean, np.diag(sd**2), cost)

    @property
    def sd(self) -> FloatArray:
        """Standard deviation of every arm's quality, shape (n_arms,)."""
        return np.sqrt(self.covariance.diagonal())

    @cached_property
    def correlated(self) -> bool:
        """True if one arm's quality says something about another's."""
        own = np.count_nonzero(self.covariance.diagonal())
        return int(np.count_nonzero(self.covariance)) > int(own)

    def observe(self, arm: int, quality: float) -> Belief:
        """Return the belief about ALL arms once ``arm``'s expected quality is known."""
        mean, covariance = condition(
            self.mean[None, :], self.covariance[None, :, :], np.array([arm]), np.array([quality])
        )
        return Belief(mean[0], covariance[0], self.cost)


@dataclass(frozen=True, slots=True)
class Observation:
    """What was read from one reply.

    ``quality`` is the estimated probability that the reply is good, 0 if ``rejected_by`` names a
    hard reason (cut off, refused, empty, a validator said no). ``answer_key`` is equal for replies
    that give the same answer; a hash, so that no answer is kept. ``cap`` is the least number that a
    validator gave: no estimate of the reply may be above it.
    """

    arm: int
    quality: float
    usage: Usage
    cost_usd: float | None
    latency_seconds: float
    signals: Mapping[str, float] = field(default_factory=dict[str, float])
    rejected_by: str | None = None
    answer_key: str | None = None
    cap: float = 1.0


class JointEstimator(Protocol):
    """Says what every reply so far means for all arms, those not yet called included."""

    def update(self, request: Request, observations: Sequence[Observation]) -> Belief:
        """Return the belief about all arms of ``request`` after ``observations``."""
        ...


@dataclass(frozen=True, slots=True)
class Failure:
    """A call that raised. ``usage`` counts what was received before it broke."""

    arm: int
    error: Exception
    latency_seconds: float
    usage: Usage | None = None
    cost_usd: float | None = 0.0


@dataclass(frozen=True)
class Trace:
    """The beliefs and attempts so far, in the order of the calls; all that a policy may see.

    Without a ``joint`` estimator replies move the belief by Gaussian conditioning.
    """

    prior: Belief
    attempts: tuple[Observation | Failure, ...] = ()
    unavailable: frozenset[int] = frozenset()
    request: Request = Request()
    joint: JointEstimator | None = None

    @cached_property
    def observations(self) -> tuple[Observation, ...]:
        """The attempts that gave a reply."""
        return tuple(a for a in self.attempts if isinstance(a, Observation))

    @cached_property
    def failures(self) -> tuple[Failure, ...]:
        """The attempts that raised."""
        return tuple(a for a in self.attempts if isinstance(a, Failure))

    @cached_property
    def untried(self) -> tuple[int, ...]:
        """Indices of the arms that can serve and were not called yet, ascending."""
        gone = self.unavailable | {attempt.arm for attempt in self.attempts}
        return tuple(m for m in range(self.prior.mean.shape[0]) if m not in gone)

    @property
    def cost_usd(self) -> float | None:
        """Dollars of all attempts; None if one of them has an unknown cost."""
        costs = [attempt.cost_usd for attempt in self.attempts]
        return None if None in costs else sum(cost for cost in costs if cost is not None)

    @property
    def usage(self) -> Usage:
        """Tokens of all attempts."""
        return sum((a.usage for a in self.attempts if a.usage is not None), Usage())

    @cached_property
    def belief(self) -> Belief:
        """The belief about all arms, updated by every observation."""
        belief = self.prior
        if self.joint is not None and self.observations:
            return self._capped(self.joint.update(self.request, self.observations))
        for observation in self.observations:
            belief = belief.observe(observation.arm, observation.quality)
        return belief

    def _capped(self, belief: Belief) -> Belief:
        """Return a joint belief in which no reply is thought better than its validators say."""
        caps = {seen.arm: seen.cap for seen in self.observations if seen.cap < 1}
        if not caps:
            return belief
        mean = belief.mean.copy()
        for arm, cap in caps.items():
            mean[arm] = min(mean[arm], cap)
        return Belief(mean, belief.covariance, belief.cost)

    def with_attempt(self, attempt: Observation | Failure) -> Trace:
        """Return the trace with one more attempt."""
        attempts = (*self.attempts, attempt)
        return Trace(self.prior, attempts, self.unavailable, self.request, self.joint)


@dataclass(frozen=True, slots=True)
class Call:
    """Decision: call this arm.

    ``final`` promises that the reply, if one comes, is the answer whatever it looks like; a
    streaming driver may then show it while it arrives. ``reason`` is for people.
    """

    arm: int
    final: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """Decision: show the reply of ``arm``, which has already run."""

    arm: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Abstain:
    """Decision: show nothing."""

    reason: str = ""


Action = Call | Answer | Abstain
