"""needle's speed beside torch's: what is timed, and how. Nothing that is judged rests on it."""
