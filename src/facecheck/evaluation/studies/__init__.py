"""Studies: recipes that differ in one choice, compared."""
