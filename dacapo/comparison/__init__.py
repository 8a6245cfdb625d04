"""The scores of many runs, side by side."""
