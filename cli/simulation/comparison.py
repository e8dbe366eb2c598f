"""Several policies on the same jobs, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cli.plan import make_plan
from cli.stderr import progress
from routing.errors import SwarmError, UsageError
from routing.plan.cluster import total_rate
from routing.simulation import (
    DISPATCH_RULES,
    POLICY_NAMES,
    FixedChainPolicy,
    SimulationResult,
    Summary,
    build_policy,
    simulate,
)

if TYPE_CHECKING:
    from cli.cluster import Cluster
    from cli.simulation.load import Load
    from routing.plan.reserve import Plan

PAGED = "proposed-paged"
"""The policy proposed with a paged cache, as the output names it."""
_GROWTH = 1.5
_WAITING_SHARE = 0.02
"""A queue that grows without end is twice as long when the last job comes as halfway. One that is short then may just
have had a bad moment; at a load of 1.02 so large a share of all jobs waits."""
_ON_PLAN = ("proposed", PAGED, *DISPATCH_RULES)
"""Policies over the placement of ``swarm plan``."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one policy fared."""

    policy: str
    summary: Summary | None
    """None if the policy cannot run on this cluster."""
    error: str | None
    """Why it cannot."""
    load: float | None
    """λ/ν for a policy with chains of its own."""
    overloaded: bool
    """Its queue grows without end, so that the figures say more of the number of jobs than of the policy."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """All outcomes, and the plan that some of them rest on."""

    plan: Plan | None
    """None if no policy needs one, or if there is none."""
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class Choices:
    """What the command was asked for."""

    policies: tuple[str, ...]
    """Of POLICY_NAMES and PAGED."""
    seed: int
    reserve: int | None
    stop_early: bool
    warm_up: float


def compare(cluster: Cluster, load: Load, choices: Choices) -> Comparison:
    """Run each policy on ``load``; one that cannot run says so in its outcome.

    A policy's figures depend on the seed but not on the policies beside it. Raises the one reason why if none can
    run, and UsageError for a reserve that no server has room for.
    """
    cluster = replace(cluster, servers=load.servers)
    plan: Plan | SwarmError | None = None
    if any(policy in _ON_PLAN for policy in choices.policies):
        try:
            plan = make_plan(cluster, load.arrival_rate, choices.reserve, choices.stop_early)
        except SwarmError as error:
            _unless_usage(error)
            plan = error
    outcomes: list[Outcome] = []
    errors: list[SwarmError] = []
    for number, policy in enumerate(choices.policies, start=1):
        shown = f"simulating {policy} ({number} of {len(choices.policies)}): {len(load.jobs):,} jobs"
        try:
            with progress(shown):
                outcomes.append(_run(policy, cluster, load, choices, plan))
        except SwarmError as error:
            _unless_usage(error)
            errors.append(error)
            outcomes.append(Outcome(policy, None, str(error), None, False))
    if len(errors) == len(outcomes):
        raise _why_none(outcomes, errors)
    return Comparison(None if isinstance(plan, SwarmError) else plan, tuple(outcomes))


def _run(policy: str, cluster: Cluster, load: Load, choices: Choices, plan: Plan | SwarmError | None) -> Outcome:
    if policy in _ON_PLAN and isinstance(plan, SwarmError):
        raise plan
    place = len(POLICY_NAMES) if policy == PAGED else POLICY_NAMES.index(policy)
    rng = np.random.default_rng([choices.seed, 1 + place])
    built = build_policy(
        "proposed" if policy == PAGED else policy,
        cluster.servers,
        cluster.model,
        load.arrival_rate,
        rng,
        # Found already, and the same for all that rest on it.
        reserve=None if plan is None or isinstance(plan, SwarmError) else plan.reserve,
        stop_early=choices.stop_early,
        session_tokens=cluster.session_tokens,
        paged=policy == PAGED,
        output_tokens=load.output_tokens,
    )
    result = simulate(built, load.jobs, load.times, rng)
    share = load.arrival_rate / total_rate(built.chains) if isinstance(built, FixedChainPolicy) else None
    overloaded = _queue_grows(result) if share is None else share >= 1
    return Outcome(policy, result.summary(choices.warm_up), None, share, overloaded)


def _queue_grows(result: SimulationResult) -> bool:
    """Whether ever more jobs wait, in whatever order they are taken; for policies whose rate is not known."""
    last = len(result.arrival) - 1
    waiting = [place + 1 - int((result.start <= result.arrival[place]).sum()) for place in (last // 2, last)]
    return waiting[1] > max(_GROWTH * waiting[0], _WAITING_SHARE * len(result.arrival))


def _unless_usage(error: SwarmError) -> None:
    """What the user typed is wrong for all policies alike."""
    if isinstance(error, UsageError):
        raise error


def _why_none(outcomes: Sequence[Outcome], errors: Sequence[SwarmError]) -> SwarmError:
    if len({str(error) for error in errors}) == 1:
        return errors[0]
    return SwarmError("no policy can run: " + "; ".join(f"{each.policy}: {each.error}" for each in outcomes))
