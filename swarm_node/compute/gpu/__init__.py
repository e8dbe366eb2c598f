"""Programs for a GPU: kernels in Triton, and steps that are recorded once and replayed."""
