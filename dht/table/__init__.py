"""The swarm's distributed hash table: hivemind's, behind trio and with signed records."""

from dht.table.table import Entry, Table, open_table

__all__ = ["Entry", "Table", "open_table"]
