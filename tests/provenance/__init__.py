"""Tests of what a file says of its own origin."""
