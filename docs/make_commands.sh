#!/usr/bin/env bash
# Writes docs/commands.md from the commands' own help.
set -euo pipefail
cd "$(dirname "$0")"
typer facecheck.cli utils docs --name facecheck --title "The commands" --output commands.md
sed -i "s/  \[default: <class 'list'>\]//; s/&#x27;/'/g; s/&quot;/\"/g; s/&lt;/</g; s/&gt;/>/g; s/&amp;/\&/g" commands.md
