"""What benchmarks start as processes of their own; ``bench.program`` gives the command."""
