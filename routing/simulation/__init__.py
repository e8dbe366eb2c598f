"""Event-driven simulation of jobs on a cluster: what each policy would make people wait.

Three things meet in ``simulate(policy, jobs, times, rng)``:

- *jobs* (``workload``): when each comes, its size and its lengths; Poisson or from a trace.
- *times* (``service_time``): one ServerTime for each server, from which the time of a job on a route follows.
  ``mean_times(servers)`` uses only τc_j and τp_j, so that a job of size x takes x·T_k; give ServerTime objects with a
  BlockTime and a time per output token for jobs whose time follows from their own lengths.
- *policy* (``policies``): where blocks are and where jobs go. ``build_policy`` makes any of POLICY_NAMES from a
  cluster; ``fixed_chain_policy`` puts a dispatching rule of DISPATCH_RULES on chains that are given. A policy is
  immutable and may be simulated many times.

The result holds arrival, start and end of every job and sums them up. Nothing depends on the clock or on hidden
randomness: the same arguments with generators of the same seed give the same result.
"""

from routing.simulation.bprr import BprrPolicy, bprr_policy
from routing.simulation.cg_bp import cg_bp, design_number
from routing.simulation.fixed_chains import DISPATCH_RULES, FixedChainPolicy, fixed_chain_policy
from routing.simulation.habits import HABITS_OFF, Habits
from routing.simulation.paged import PagedPolicy, paged_policy
from routing.simulation.petals import PetalsPolicy, petals_policy
from routing.simulation.petals_placement import petals_placement
from routing.simulation.policies import POLICY_NAMES, build_policy
from routing.simulation.pools import Pools, lane_pools, server_pools
from routing.simulation.result import SimulationResult, Spread, Summary
from routing.simulation.service_time import JobTime, Route, ServerTime, mean_servers, mean_times
from routing.simulation.simulator import Dispatcher, Policy, Start, Wake, simulate
from routing.simulation.stale_clients import StaleClientsPolicy
from routing.simulation.whole_model import whole_model_chains
from routing.simulation.workload import Job, poisson_jobs, trace_jobs, with_exponential_sizes, with_poisson_arrivals

__all__ = [
    "DISPATCH_RULES", "HABITS_OFF", "POLICY_NAMES", "BprrPolicy", "Dispatcher", "FixedChainPolicy", "Habits", "Job",
    "JobTime", "PagedPolicy", "PetalsPolicy", "Policy", "Pools", "Route", "ServerTime", "SimulationResult",
    "Spread", "StaleClientsPolicy", "Start", "Summary", "Wake", "bprr_policy", "build_policy", "cg_bp",
    "design_number", "fixed_chain_policy", "lane_pools", "mean_servers", "mean_times", "paged_policy",
    "petals_placement", "petals_policy", "poisson_jobs", "server_pools", "simulate", "trace_jobs",
    "whole_model_chains", "with_exponential_sizes", "with_poisson_arrivals",
]  # fmt: skip
