"""Many trainings as one experiment: cross-validation and search."""
