"""The ``swarm`` command: what a person types and sees."""
