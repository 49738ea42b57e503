"""needle-verify faults: what each judge finds of faults that are planted on purpose."""
