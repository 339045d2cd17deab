"""The report of a run or an evaluation: one page, its figures, and their numbers."""
