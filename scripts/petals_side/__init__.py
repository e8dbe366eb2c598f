"""What bench_petals needs: Petals's own environment, and node and client processes of both projects behind one form."""
