"""Where images are decoded and classified: on this machine, or on a Ray cluster."""
