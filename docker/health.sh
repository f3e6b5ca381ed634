#!/bin/sh
# health.sh http URL | health.sh dicom CALLER CALLED PORT: ends with 0 if a server in this container answers.
set -eu
python="$(cd "$(dirname "$0")/.." && pwd)/bin/python"
case $1 in
http) exec "$python" -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=5)' "$2" ;;
dicom) exec "$python" -m pynetdicom echoscu --quiet --calling-aet "$2" --called-aet "$3" --acse-timeout 5 --dimse-timeout 5 127.0.0.1 "$4" ;;
esac
echo "health.sh: '$1' is no kind of server: give http or dicom." >&2
exit 2
