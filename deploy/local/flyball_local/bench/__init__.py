"""`flyball bench`: how fast the loop is on this machine, with its account closed after each run."""
