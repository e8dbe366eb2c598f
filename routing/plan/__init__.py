"""A plan for a cluster, as arXiv 2604.14993 has it: placement, chains, the choice of c, bounds, dispatching."""
