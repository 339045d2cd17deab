#!/usr/bin/env bash
# Writes docs/commands.md, or the file that is named, from the commands' own help.
set -euo pipefail
here=$(dirname "$0")
text=$(python "$here/make_commands.py")  # first, so that a failure leaves the page as it is
printf '%s\n' "$text" > "${1:-$here/commands.md}"
