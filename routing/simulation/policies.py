"""Policies by name: placement and dispatching together, as people choose them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from routing.errors import ClusterInvalid
from routing.plan.cluster import ModelShape, Server
from routing.plan.reserve import choose_reserve
from routing.simulation.bprr import bprr_policy
from routing.simulation.fixed_chains import DISPATCH_RULES, fixed_chain_policy
from routing.simulation.paged import paged_policy
from routing.simulation.petals import OUTPUT_TOKENS, petals_policy
from routing.simulation.petals_placement import CACHE_JOBS
from routing.simulation.simulator import Policy
from routing.simulation.whole_model import whole_model_chains

POLICY_NAMES = ("proposed", "petals", "bprr", "jffc-only", *DISPATCH_RULES)
"""Names that build_policy knows."""


def build_policy(
    name: str,
    servers: Sequence[Server],
    model: ModelShape,
    arrival_rate: float,
    rng: np.random.Generator,
    *,
    reserve: int | None = None,
    stop_early: bool = False,
    session_tokens: int | None = None,
    paged: bool = False,
    petals_cache_jobs: float = CACHE_JOBS,
    petals_spare_memory: bool = False,
    output_tokens: float = OUTPUT_TOKENS,
) -> Policy:
    """Place blocks and choose chains for one of POLICY_NAMES; ``arrival_rate`` is λ in jobs per second.

    - ``proposed``: GBP-CR with the c of choose_reserve() (or ``reserve``), GCA, JFFC. With ``paged`` its jobs reserve
      their own length; that needs ``session_tokens``, the tokens that ``model.cache_bytes`` holds.
    - ``petals``: see PetalsPolicy; blocks are placed with room for ``petals_cache_jobs`` jobs each, in an order from
      ``rng``, which nothing else draws from; with ``petals_spare_memory`` the memory left over is cache too.
      ``output_tokens`` is the mean of the jobs.
    - ``bprr``: see BprrPolicy, with |R| of design_number().
    - ``jffc-only``: JFFC over servers that hold the whole model.
    - ``jffc``, ``jsq``, ``jiq``, ``sed``, ``sa-jsq``, ``random``: dispatching over the chains of ``proposed``.

    Raises ClusterInvalid for what no cluster can be and for an unknown name, MemoryTooSmall or BlocksNotCovered if the
    blocks do not fit, Overloaded if the chains of ``proposed`` cannot carry the rate.
    """
    if name not in POLICY_NAMES:
        raise ClusterInvalid(f"there is no policy {name}; choose one of {', '.join(POLICY_NAMES)}")
    if paged and (name != "proposed" or session_tokens is None):
        raise ClusterInvalid("a paged cache goes with the policy proposed and needs the model's session_tokens")
    if name == "petals":
        return petals_policy(
            servers,
            model,
            rng,
            cache_jobs=petals_cache_jobs,
            spare_memory=petals_spare_memory,
            output_tokens=output_tokens,
        )
    if name == "bprr":
        return bprr_policy(servers, model, arrival_rate)
    if name == "jffc-only":
        return fixed_chain_policy("jffc", whole_model_chains(servers, model), name)
    plan = choose_reserve(
        servers, model, arrival_rate, stop_early=stop_early, candidates=None if reserve is None else [reserve]
    )
    if paged and session_tokens is not None:
        return paged_policy(servers, model, plan.placement.spans, session_tokens)
    return fixed_chain_policy("jffc" if name == "proposed" else name, plan.chains, name)
