"""Readers of volumes, skeletons and points: one module per file format."""
