"""A swarm over time, and what happens to it: servers vanish, come and go, and more jobs come."""
