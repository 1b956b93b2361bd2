"""Read one file of the project safely: without blocking, never half-written, never outside the project."""
