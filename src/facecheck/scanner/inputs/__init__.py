"""What to scan: files, folders, archives, lists, addresses."""
