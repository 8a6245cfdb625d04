"""Pictures, curves and HTML pages."""
