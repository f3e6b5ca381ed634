#!/bin/sh
# label.sh VENV: the environment that `bus-monai label` would make at its first start, into the image.
set -eu
PIP_NO_CACHE_DIR=1 BUS_MONAI_CACHE="$1/label" "$1/bin/python" -c \
	'from bus_monai.label.environment import label_environment; label_environment()'
