"""What a file says of its own origin, read from its bytes; no pixel is decoded here."""
