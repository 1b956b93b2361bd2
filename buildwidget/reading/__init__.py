"""One file of the project, read whole: opened safely, settled, never torn."""
