"""Duplicates: which files show the same picture, and what to do about them."""
