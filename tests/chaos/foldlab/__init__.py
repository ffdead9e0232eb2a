"""A laboratory for folds: a fold whose right answer is easy to recompute, faults, and a judge."""
