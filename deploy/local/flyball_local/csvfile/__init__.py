"""CSV files: how one is written, what its columns hold, its rows as an element would report them."""
