"""A run as a page: facts read from its log, plots, and one HTML file that needs nothing else."""
