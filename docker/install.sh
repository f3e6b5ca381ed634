#!/bin/sh
# install.sh VENV cpu|cuda: bus-monai in a virtual environment of its own, in the versions of constraints.txt.
set -eu
venv=$1
source=$(cd "$(dirname "$0")/.." && pwd)

# torch alone first, since the choice of its build is the choice of the image
case $2 in
cpu) extras=openvino,pacs && set -- --index-url https://download.pytorch.org/whl/cpu ;;
cuda) extras=pacs && set -- ;; # the index's own build brings CUDA's libraries along
*) echo "install.sh: '$2' is no kind of image: give cpu or cuda." >&2 && exit 2 ;;
esac

export PIP_CONSTRAINT="$source/constraints.txt" PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_QUIET=1
python3 -m venv "$venv"
"$venv/bin/python" -m pip install --no-deps "$@" torch
"$venv/bin/python" -m pip wheel --no-deps --wheel-dir "$venv/wheel" "$source"
wheel=$(ls "$venv"/wheel/bus_monai-*.whl)
"$venv/bin/python" -m pip install "bus-monai[$extras] @ file://$wheel" "mlflow[auth]"
rm -r "$venv/wheel"
mkdir -p "$venv/docker"
cp "$source"/docker/entrypoint.sh "$source"/docker/health.sh "$source"/docker/certificates.sh "$venv/docker"
