"""What is stored, read for people: rows, events that resume, bounded in messages, bytes and time."""
