"""needle-verify compare: two runs side by side."""
