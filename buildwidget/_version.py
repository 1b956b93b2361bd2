"""The version of the package. It is defined here and nowhere else."""

__version__ = "0.1.0"
