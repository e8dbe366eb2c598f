"""The swarm's distributed hash table: hivemind's, behind trio and with signed records."""

from dht.table.table import Table, open_table

__all__ = ["Table", "open_table"]
