"""Faults of a manifest's images and labels, for people to decide on."""
