"""Flyball's contracts: what services say to each other, where, and within which bounds."""
