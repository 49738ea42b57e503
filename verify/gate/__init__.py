"""needle-verify gate: a run held against what was recorded of an earlier one."""
