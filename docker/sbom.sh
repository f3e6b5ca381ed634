#!/bin/sh
# sbom.sh PYTHON FILE: what that Python has installed, as CycloneDX, for whoever looks for known holes in it.
set -eu
made=$(mktemp -d)
python3 -m venv "$made"
"$made/bin/python" -m pip install --quiet --no-cache-dir --disable-pip-version-check cyclonedx-bom==7.2.1
"$made/bin/cyclonedx-py" environment --output-reproducible --output-format JSON --output-file "$2" "$1"
rm -r "$made"
