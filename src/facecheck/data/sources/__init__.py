"""Source datasets: the catalogue, and how they get to data/raw."""
