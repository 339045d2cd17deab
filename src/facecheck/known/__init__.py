"""Files that people have decided already: the table of them, and finding a file in it."""
