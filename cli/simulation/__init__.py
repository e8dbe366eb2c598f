"""What is behind ``swarm simulate``: the jobs, the policies that are compared on them, and what a person sees of it."""

from cli.simulation.comparison import PAGED, Choices, Comparison, Outcome, compare
from cli.simulation.load import Load, poisson_load, trace_load
from cli.simulation.view import simulation_view

__all__ = [
    "PAGED", "Choices", "Comparison", "Load", "Outcome", "compare", "poisson_load", "simulation_view", "trace_load",
]  # fmt: skip
