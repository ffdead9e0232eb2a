"""The read model of the page: `watching` follows the broker and keeps the newest `picture`."""
