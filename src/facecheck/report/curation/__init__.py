"""The report of a curation: one page, its pictures, plots and tables."""
