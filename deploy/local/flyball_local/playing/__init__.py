"""Lets files play through the loop, with marks and truth, and says what came of it."""
