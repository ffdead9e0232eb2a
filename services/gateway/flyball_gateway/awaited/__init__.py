"""What a pipeline waits for, in sentences: `awaiting` from a `situation`, which `views` reads."""
