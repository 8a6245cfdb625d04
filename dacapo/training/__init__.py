"""The training loop, with checkpoints, signals, loggers and diagnostics."""
