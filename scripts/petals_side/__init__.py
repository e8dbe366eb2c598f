"""What bench/petals.py needs: Petals's own environment, and node and client processes of both projects in one form."""
