"""Decision rules: a pure function from a trace to a call, an answer or an abstention."""

from cascade_core.policies._base import Policy
from cascade_core.policies.abstention_loss import AbstentionLoss, TunedAbstention
from cascade_core.policies.automix import AutoMixPolicy
from cascade_core.policies.belief_cascade import BeliefCascade
from cascade_core.policies.cascade_routing import CascadeRouting
from cascade_core.policies.early_abstention import EarlyAbstentionCascade
from cascade_core.policies.mixture import MixturePolicy
from cascade_core.policies.optimal_cascade import OptimalCascade
from cascade_core.policies.random_mixing import RandomMixing
from cascade_core.policies.reservation_index import ReservationIndexPolicy
from cascade_core.policies.routing import RoutingPolicy
from cascade_core.policies.routing_fit import (
    RoutingFit,
    RoutingFrontier,
    fit_routing,
    routing_frontier,
)
from cascade_core.policies.single_model import SingleModelPolicy
from cascade_core.policies.subset_programme import SubsetProgramme
from cascade_core.policies.threshold_cascade import ThresholdCascade

__all__ = [
    "AbstentionLoss",
    "AutoMixPolicy",
    "BeliefCascade",
    "CascadeRouting",
    "EarlyAbstentionCascade",
    "MixturePolicy",
    "OptimalCascade",
    "Policy",
    "RandomMixing",
    "ReservationIndexPolicy",
    "RoutingFit",
    "RoutingFrontier",
    "RoutingPolicy",
    "SingleModelPolicy",
    "SubsetProgramme",
    "ThresholdCascade",
    "TunedAbstention",
    "fit_routing",
    "routing_frontier",
]
