"""Find out which segmentation model to trust."""

__version__ = "0.1.0"
