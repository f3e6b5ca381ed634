#!/bin/sh
# health.sh URL: ends with 0 if a server in this container answers with success.
set -eu
exec "$(cd "$(dirname "$0")/.." && pwd)/bin/python" \
	-c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=5)' "$1"
