"""The training loop, and what it reports, saves and reacts to."""
