"""The record of acts and verdicts: exported, and verified without trusting whoever kept it."""
