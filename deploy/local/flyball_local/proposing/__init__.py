"""From a file to a specification: what to predict, with which columns, and what to check."""
