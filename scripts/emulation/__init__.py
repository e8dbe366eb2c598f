"""An emulated engine: blocks without weights that take modelled time, for real nodes and clients to run."""
