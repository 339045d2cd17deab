"""``python -m facecheck``: the same as the ``facecheck`` command."""

from facecheck.cli import main

main()
