"""The generated pages in docs/reference: events, subjects and the command line. Pure text."""
