#!/bin/sh
# entrypoint.sh ARGUMENTS: what a container runs, `bus-monai ARGUMENTS` or `mlflow ARGUMENTS`.
set -eu
venv=$(cd "$(dirname "$0")/.." && pwd)
export PATH="$venv/bin:$PATH" USER="${USER:-busmonai}"
export MLFLOW_DISABLE_TELEMETRY=true # nothing leaves but to whom one names

# with `docker run --user` the home belongs to somebody else
[ -w "${HOME:-/}" ] || HOME=$(mktemp -d)
export HOME

case ${1-} in
mlflow)
	# of its login, for which it asks even where one process serves alone
	export MLFLOW_FLASK_SERVER_SECRET_KEY="${MLFLOW_FLASK_SERVER_SECRET_KEY:-$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')}"
	exec "$venv/bin/python" -m "$@"
	;;
label)
	# the cache is a volume, which an image cannot write to
	cache=${BUS_MONAI_CACHE:-$HOME/.cache/bus_monai}
	mkdir -p "$cache"
	ln -sfn "$venv"/label/monailabel-* "$cache"
	if [ -n "${ORTHANC_PASSWORD-}" ]; then
		NETRC=$(mktemp) # readable for its owner alone
		echo "machine orthanc login $ORTHANC_USER password $ORTHANC_PASSWORD" >"$NETRC"
		export NETRC
		unset ORTHANC_PASSWORD
	fi
	;;
esac
exec bus-monai "$@"
