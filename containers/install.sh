#!/bin/sh
# How ArSSR is installed in an image of Debian, as root. The one home of these steps: Dockerfile,
# arssr.def, build.yaml and `make containers` call them.
#
#   install.sh python TORCH                      Python and what runs beside it
#   install.sh arssr SOURCE CONSTRAINTS TORCH    ArSSR with its weights, in /opt/arssr; wants `python`
#   install.sh user                              a user who is not root
#
# SOURCE follows the name in a requirement: "==0.2.0", or " @ file:///source". CONSTRAINTS is the
# file of versions that we test with. TORCH is cpu or cuda.
set -eu

extras=bids,cluster,dicom,formats,mrd,onnx,train,view

get() {
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends "$@" >/dev/null
    apt-get clean
    rm -rf /var/lib/apt/lists/*
}

case "$1" in
python)
    get python3
    # Triton compiles the kernel that decodes on a GPU when it is first used.
    if [ "$2" = cuda ]; then get gcc libc6-dev python3-dev; fi
    ;;
arssr)
    get python3-venv
    python3 -m venv /opt/arssr
    index=https://download.pytorch.org/whl/cpu # Linux wheels of PyPI bring CUDA
    if [ "$4" = cuda ]; then index=https://pypi.org/simple; fi
    /opt/arssr/bin/pip install --quiet --no-cache-dir --extra-index-url "$index" \
        --constraint "$3" "arssr[$extras]$2"
    /opt/arssr/bin/pip uninstall --quiet --yes pip
    # Nobody compiles against PyTorch here, nor tests it.
    cd /opt/arssr/lib/python3*/site-packages/torch
    rm -rf include test
    find bin -type f ! -name torch_shm_manager -delete
    ;;
user)
    useradd --create-home --uid 1000 arssr
    chmod 1777 /home/arssr # for those who come as somebody else: docker run --user
    ;;
*)
    echo "install.sh: $1 is none of python, arssr and user" >&2
    exit 2
    ;;
esac
