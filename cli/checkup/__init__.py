"""What a machine needs to be a node: each need looked at, and told how it is mended where it is not met."""
