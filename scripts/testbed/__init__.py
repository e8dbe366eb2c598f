"""The test bed: real node processes on one machine, with the network of a continent between them."""
