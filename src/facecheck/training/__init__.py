"""Training: from a recipe and a manifest to a run with its checkpoints."""
