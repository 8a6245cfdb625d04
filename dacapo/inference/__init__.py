"""Prediction in blocks, post-processing and scoring."""
