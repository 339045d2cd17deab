#!/usr/bin/env bash
# Writes docs/commands.md, or the file that is named, from the commands' own help.
set -euo pipefail
page=${1:-$(dirname "$0")/commands.md}
typer facecheck.cli utils docs --name facecheck --title "The commands" --output "$page"
sed -i "s/&#x27;/'/g; s/&quot;/\"/g; s/&lt;/</g; s/&gt;/>/g; s/&amp;/\&/g" "$page"
