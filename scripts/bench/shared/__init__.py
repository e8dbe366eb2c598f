"""What benchmarks have in common: the harness, and the models and swarms that several of them measure."""
