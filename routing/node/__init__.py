"""What a node decides by itself: which blocks it hosts, when it moves, whom it asks, whose turn it is in its line."""
