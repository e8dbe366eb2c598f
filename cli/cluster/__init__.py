"""A cluster file: machines and a model as people describe them, read and checked for planning and simulating."""

from cli.cluster.file import Cluster, read_cluster

__all__ = ["Cluster", "read_cluster"]
