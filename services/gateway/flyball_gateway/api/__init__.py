"""The routes under /v1, and what they share."""
