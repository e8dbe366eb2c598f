"""What a client decides by itself: the chain of a session, by what it knows beside the nodes' records."""
