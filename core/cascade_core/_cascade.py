"""One cascade: the arms, the rule and the estimators, and how they answer one request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from cascade_core._answer_key import answer_key
from cascade_core._arms import check_names
from cascade_core._flow import Failed, Flow, Validator, call, score
from cascade_core._types import (
    Abstain,
    Answer,
    Arm,
    Belief,
    Call,
    Failure,
    JointEstimator,
    Observation,
    Reply,
    Request,
    Trace,
    Usage,
)
from cascade_core.errors import (
    AllModelsFailed,
    CascadeAbstained,
    InvalidBelief,
    InvalidConfiguration,
    MissingPrice,
    PolicyError,
    PolicyMismatch,
)
from cascade_core.estimators import (
    AssumedConfidence,
    CalibratedConfidence,
    ExAnteEstimator,
    ExPostEstimator,
    PriorEstimator,
)
from cascade_core.failures import may_be_billed
from cascade_core.policies import Policy, ThresholdCascade
from cascade_core.serving import check_servable
from cascade_core.signals import DEFAULT_SIGNALS, Signal

T = TypeVar("T")

# Accept a draft whose tokens had a geometric mean probability of 0.8: an assumption for the time
# before there are outcomes, to be replaced by fitting.
ASSUMED_THRESHOLD = 0.8


@dataclass(frozen=True, slots=True)
class FittedPolicy:
    """What was learnt from outcomes: a rule with the estimators that it was tuned for.

    Args:
        arms: Names of the arms, in the order of every index.
        policy: The rule.
        ex_ante: What is expected of the arms before a call.
        ex_post: What a reply's signals say about it.
        joint: What all replies so far say about every arm; None for Gaussian conditioning.

    Raises:
        PolicyMismatch: An estimator that says how many arms it knows (the library's own do, and
            any with a number ``n_arms``) was fitted for another number of them.
    """

    arms: tuple[str, ...]
    policy: Policy
    ex_ante: ExAnteEstimator
    ex_post: ExPostEstimator
    joint: JointEstimator | None = None

    def __post_init__(self) -> None:
        for estimator in (self.ex_ante, self.ex_post, self.joint):
            known = _arms_known_to(estimator)
            if known is not None and known != len(self.arms):
                raise PolicyMismatch(
                    f"A policy for the {len(self.arms)} models {list(self.arms)} needs estimators "
                    f"of as many, and its {type(estimator).__name__} was fitted for {known}. Fit "
                    "all of it on one outcome table."
                )


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """How a request ended.

    Attributes:
        reply: The answer; None if the policy abstained.
        arm: Index of the arm that answered; None if the policy abstained.
        reason: Why this ended here, for people.
        trace: Every attempt, with signals, estimates, money and time.
        reasons: Why each attempt was made, in the order of ``trace.attempts``.
        arms: The arms of the cascade.
    """

    reply: Reply[T] | None
    arm: int | None
    reason: str
    trace: Trace
    reasons: tuple[str, ...]
    arms: tuple[Arm, ...]

    @property
    def cost_usd(self) -> float | None:
        """Dollars of all attempts that are known to be billed; None if one has an unknown cost.

        An attempt that broke off after it was sent counts 0 here and says ``may_be_billed`` in the
        report: nobody but the provider knows, and one time-out must not hide all other dollars.
        """
        return self.trace.cost_usd

    @property
    def latency_seconds(self) -> float:
        """Seconds of all calls together."""
        return sum(attempt.latency_seconds for attempt in self.trace.attempts)

    @property
    def usage(self) -> Usage:
        """Tokens of all attempts."""
        return self.trace.usage

    def report(self) -> dict[str, Any]:
        """Return all of it as plain JSON values, as replies carry it in their metadata."""
        attempts = self.trace.attempts
        return {
            "answered_by": None if self.arm is None else self.arms[self.arm].name,
            "reason": self.reason,
            "attempts": [
                self._attempt(attempt, reason)
                for attempt, reason in zip(attempts, self.reasons, strict=True)
            ],
            "cost_usd": self.cost_usd,
            "latency_seconds": self.latency_seconds,
            "usage": _usage(self.usage),
        }

    def _attempt(self, attempt: Observation | Failure, reason: str) -> dict[str, Any]:
        row: dict[str, Any] = {"model": self.arms[attempt.arm].name, "called_because": reason}
        if isinstance(attempt, Failure):
            row |= {
                "status": "failed",
                "error": type(attempt.error).__name__,
                "may_be_billed": _may_be_billed(attempt),
            }
        else:
            row |= {
                "status": "accepted" if attempt.arm == self.arm else "rejected",
                "rejected_by": attempt.rejected_by,
                "estimated_quality": attempt.quality,
                "signals": dict(attempt.signals),
            }
        return row | {
            "usage": None if attempt.usage is None else _usage(attempt.usage),
            "cost_usd": attempt.cost_usd,
            "latency_seconds": attempt.latency_seconds,
        }


def _may_be_billed(failure: Failure) -> bool:
    """Tell whether dollars beyond the failure's own cost may have been spent on it."""
    trace = _spent(failure.error)
    if trace is not None:
        return any(map(_may_be_billed, trace.failures))
    # What had arrived of a stream is in its cost.
    return failure.usage is None and may_be_billed(failure.error)


def _spent(error: Exception) -> Trace | None:
    """Return what a cascade, as an arm of this one, did before it gave up."""
    return error.trace if isinstance(error, AllModelsFailed | CascadeAbstained) else None


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_input_tokens": usage.cached_input_tokens,
        "estimated": usage.estimated,
    }


@dataclass(frozen=True, slots=True)
class Cascade:
    """Everything that decides; holds no model and does no I/O.

    Args:
        arms: The models, in the order of every index.
        policy: The decision rule.
        ex_ante: Belief about the arms before any call.
        ex_post: Estimated quality of a reply from its signals.
        joint: Belief about every arm from all replies so far; None for Gaussian conditioning.
        signals: What is read from every reply.
        validators: The caller's checks by name, run on every reply.
    """

    arms: tuple[Arm, ...]
    policy: Policy
    ex_ante: ExAnteEstimator
    ex_post: ExPostEstimator
    joint: JointEstimator | None = None
    signals: tuple[Signal, ...] = DEFAULT_SIGNALS
    validators: Mapping[str, Validator] = field(default_factory=dict[str, Validator])

    @classmethod
    def build(
        cls,
        arms: Sequence[Arm],
        policy: Policy | FittedPolicy | None = None,
        validators: Mapping[str, Validator] | Sequence[Validator] = (),
    ) -> Cascade:
        """Return a checked cascade.

        Without a policy it starts safely and claims nothing: arms in the given order, an answer
        accepted if it is not cut off, refused, empty or turned down by a validator, and if its
        mean token probability, where the provider sends one, is at least 0.8.

        Raises:
            InvalidConfiguration: No arms, equal names, a policy or validator that cannot serve.
            PolicyMismatch: The policy was fitted for other models.
            MissingPrice: The policy weighs dollars and an arm has no price.
        """
        arms = tuple(arms)
        check_names([arm.name for arm in arms])
        if isinstance(policy, FittedPolicy):
            _check_fitted_for(policy.arms, tuple(arm.name for arm in arms))
            rule, ex_ante, ex_post = policy.policy, policy.ex_ante, policy.ex_post
            joint = policy.joint
        else:
            n = len(arms)
            rule = policy or ThresholdCascade(tuple(range(n)), (ASSUMED_THRESHOLD,) * (n - 1))
            ex_ante, ex_post, joint = PriorEstimator.assumed(arms), AssumedConfidence(), None
        # A class has the attributes of its instances, and would pass for one.
        if isinstance(rule, type) or not isinstance(rule, Policy):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidConfiguration(
                f"policy must be a decision rule or a FittedPolicy, got {rule!r}. Possible are "
                "ThresholdCascade, RoutingPolicy, ReservationIndexPolicy, SingleModelPolicy, or an "
                "object with needs_cost, check(n_arms) and decide(trace)."
            )
        rule.check(len(arms))
        _check_prices(rule, arms)
        return cls(arms, rule, ex_ante, ex_post, joint, validators=_named(validators))

    def run(self, request: Request) -> Flow[Outcome[Any]]:
        """Answer one request: a flow of calls that returns the outcome.

        Raises:
            AllModelsFailed: Every model that could still answer failed.
            InvalidConfiguration: No arm can serve the request.
            PolicyError: The rule asked for an arm that already ran or does not exist, or did not
                answer with the reply of a call that it had marked final.
            PolicyMismatch: The ex-ante estimator knows another number of arms.
        """
        check_servable([arm.name for arm in self.arms], request.unavailable)
        trace = Trace(self._prior(request), (), request.unavailable, request, self.joint)
        replies: dict[int, Reply[Any]] = {}
        reasons: tuple[str, ...] = ()
        shown: int | None = None
        while True:
            action = self.policy.decide(trace)
            # Checked here and not in the stream drivers only: no two entry points may disagree.
            if shown is not None and not (isinstance(action, Answer) and action.arm == shown):
                raise PolicyError(
                    f"{self.policy!r} marked its call of {self.arms[shown].name!r} as final, so "
                    f"that reply may have been shown; then it gave {action!r}."
                )
            if isinstance(action, Call):
                if action.arm not in trace.untried:
                    raise PolicyError(f"{self.policy!r} asked for {action!r}, which cannot be.")
                result = yield from call(action)
                reasons = (*reasons, action.reason)
                if isinstance(result, Failed):
                    attempt: Observation | Failure = self._failure(action.arm, result)
                else:
                    replies[action.arm] = result
                    shown = action.arm if action.final else None
                    attempt = yield from self._observe(action.arm, result)
                trace = trace.with_attempt(attempt)
            elif isinstance(action, Answer):
                if action.arm not in replies:
                    raise PolicyError(f"{self.policy!r} gave {action!r}, which never replied.")
                return Outcome(
                    replies[action.arm], action.arm, action.reason, trace, reasons, self.arms
                )
            elif isinstance(action, Abstain):  # pyright: ignore[reportUnnecessaryIsInstance]
                return self._without_answer(action, trace, reasons)
            else:
                raise PolicyError(
                    f"{self.policy!r} decided {action!r}; a rule returns Call, Answer or Abstain."
                )

    def _prior(self, request: Request) -> Belief:
        belief = self.ex_ante.estimate(request)
        if len(belief.mean) != len(self.arms):
            raise PolicyMismatch(
                f"{type(self.ex_ante).__name__} gave a belief about {len(belief.mean)} arms to a "
                f"cascade of {len(self.arms)}. Fit it for these models."
            )
        return belief

    def _observe(self, arm: int, reply: Reply[Any]) -> Flow[Observation]:
        """Read every signal, then the validators unless the reply is already rejected."""
        values: dict[str, float] = {}
        rejected_by: str | None = None
        for signal in self.signals:
            reading = signal.read(reply)
            values.update(reading.values)
            rejected_by = rejected_by or reading.rejected_by
        worst = 1.0
        for name, validator in self.validators.items():
            if rejected_by is not None:
                break
            values[name] = yield from score(name, validator, reply)
            worst = min(worst, values[name])
            if worst <= 0:
                rejected_by = f"validator {name}"
        quality = 0.0
        if rejected_by is None:
            # A validator's number caps the estimate: it may know better, and never vouches.
            quality = min(worst, self._estimate(arm, values))
        cost = reply.cost_usd
        return Observation(
            arm,
            quality,
            reply.usage,
            self.arms[arm].cost_usd(reply.usage) if cost is None else cost,
            reply.latency_seconds or 0.0,
            values,
            rejected_by,
            # Who agrees with whom matters only to a joint belief.
            None if self.joint is None else answer_key(reply.text),
            max(worst, 0.0),
        )

    def _estimate(self, arm: int, values: Mapping[str, float]) -> float:
        estimate = self.ex_post.quality(arm, values)
        if not 0.0 <= estimate <= 1.0:  # NaN included: every comparison with it is False
            raise InvalidBelief(
                f"{self.ex_post!r} estimated a quality of {estimate!r} for a reply of "
                f"{self.arms[arm].name!r} with the signals {dict(values)}; it must be in [0, 1]."
            )
        return estimate

    def _failure(self, arm: int, failed: Failed) -> Failure:
        error = failed.error
        spent = _spent(error)
        if spent is not None:
            return Failure(arm, error, failed.latency_seconds, spent.usage, spent.cost_usd)
        # Of a call that broke before anything came no cost is known; see ``may_be_billed``.
        cost = 0.0 if failed.usage is None else self.arms[arm].cost_usd(failed.usage)
        return Failure(arm, error, failed.latency_seconds, failed.usage, cost)

    def _without_answer(
        self, action: Abstain, trace: Trace, reasons: tuple[str, ...]
    ) -> Outcome[Any]:
        # An abstention that failures have forced is a failure, not a decision.
        if trace.failures and not trace.untried:
            raise AllModelsFailed.after(
                trace, f"No model gave an answer that may be shown. {self._what_happened(trace)}"
            )
        return Outcome(None, None, action.reason, trace, reasons, self.arms)

    def _what_happened(self, trace: Trace) -> str:
        return "; ".join(
            f"{self.arms[a.arm].name}: "
            + (
                f"{type(a.error).__name__}"
                if isinstance(a, Failure)
                else f"rejected ({a.rejected_by or f'estimated quality {a.quality:.3f}'})"
            )
            for a in trace.attempts
        )


def _check_fitted_for(fitted: tuple[str, ...], given: tuple[str, ...]) -> None:
    if fitted == given:
        return
    missing = [name for name in fitted if name not in given]
    unknown = [name for name in given if name not in fitted]
    difference = (
        f"missing: {missing}, not known to the policy: {unknown}"
        if missing or unknown
        else "the order differs"
    )
    raise PolicyMismatch(
        f"The policy was fitted for the models {list(fitted)}, got {list(given)} ({difference}). "
        "Give the same models in the same order, or fit again."
    )


def _arms_known_to(estimator: object) -> int | None:
    """Return for how many arms an estimator was fitted; None if it does not say."""
    if isinstance(estimator, PriorEstimator):
        return len(estimator.mean)
    if isinstance(estimator, CalibratedConfidence):
        return len(estimator.calibrators)
    known = getattr(estimator, "n_arms", None)
    return known if isinstance(known, int) else None


def _check_prices(rule: Policy, arms: tuple[Arm, ...]) -> None:
    unpriced = [arm.name for arm in arms if arm.price is None]
    if rule.needs_cost and unpriced:
        raise MissingPrice(
            f"{rule!r} weighs dollars, and no price is known for {unpriced}. Give it in US dollars "
            f"per million tokens: prices={{{unpriced[0]!r}: Price(input=0.25, output=2.0)}}."
        )


def _named(validators: Mapping[str, Validator] | Sequence[Validator]) -> dict[str, Validator]:
    named: dict[str, Validator] = {}
    if isinstance(validators, Mapping):
        named.update(validators)
    elif not isinstance(validators, Sequence):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidConfiguration(
            f"validators is a list of callables, or a mapping of names to them, got {validators!r}."
        )
    else:
        for validator in validators:
            named[_unused_name(validator, named)] = validator
    for name, validator in named.items():
        if not callable(validator):
            raise InvalidConfiguration(
                f"A validator is a callable that takes a reply, got {validator!r} as {name!r}."
            )
    return named


def _unused_name(validator: Callable[..., Any], taken: Mapping[str, Validator]) -> str:
    name = base = getattr(validator, "__name__", type(validator).__name__)
    count = 1
    while name in taken:
        count += 1
        name = f"{base}_{count}"
    return name
