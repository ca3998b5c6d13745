"""Polycontrast: synthesises the MRI contrasts a patient lacks from the ones there are. Research only."""

__version__ = "0.1.0"
