"""The embedded stack: engines and services as processes of one folder, supervised."""
