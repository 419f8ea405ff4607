#!/usr/bin/env bash
# A training on a GPU machine that is lent for minutes, takes 64 MiB of files at a time beside the
# checkout and reaches no network. It has PyTorch, Lightning, NumPy, SciPy, typer and TensorBoard.
#
#   tools/gpu_training.sh pack PARTS INIT|none TRAIN VAL      here: what each transfer carries
#   bash tools/gpu_training.sh unpack N                       there: once for every part
#   bash tools/gpu_training.sh first RECIPE SECONDS ALL [OPTIONS]   there: begin, and stop in time
#   bash tools/gpu_training.sh then SECONDS                   there: go on, in a call of its own
#   tools/gpu_training.sh fetch FOLDER OUT TRAIN VAL          here: weights with their true cards
#
# Run it in the root of the checkout. `pack` fills .gpu1, .gpu2, … (which git ignores): wheels in
# the first, weights to start from in the last, images wherever there is room. SECONDS are those of
# the call; ALL those of both calls, less what the second needs to begin (30 to 40). OPTIONS are
# those of `arssr train`, such as --weight. Calls there share $WORK and leave in $OUT what comes
# back: weights in half precision and a log. On a CPU, as a rehearsal:
#
#   tools/gpu_training.sh pack 2 light TRAIN VAL
#   export PATH=$PWD/.venv/bin:$PATH DEVICE=cpu WORK=$(mktemp -d) OUT=$(mktemp -d)
#   for n in 1 2; do bash tools/gpu_training.sh unpack $n; done
#   bash tools/gpu_training.sh first light-gpu 90 150 && bash tools/gpu_training.sh then 60
set -euo pipefail
WORK=${WORK:-${TMPDIR:-/tmp}/arssr-training} OUT=${OUT:-$WORK/out} DEVICE=${DEVICE:-cuda}
PYTHON=${PYTHON:-.venv/bin/python}  # here
SAVING=15  # seconds from the last step to the end of a call: checkpoint, weights, half precision

pack() {
    local parts=$1 init=$2 train=$3 val=$4 n f part
    rm -rf .gpu[0-9]*
    for n in $(seq "$parts"); do mkdir ".gpu$n"; done
    local version info
    version=$("$PYTHON" -c 'from importlib.metadata import version; print(version("arssr"))')
    info=.gpu1/site/arssr-$version.dist-info
    mkdir -p "$info" .gpu1/wheels
    printf 'Metadata-Version: 2.1\nName: arssr\nVersion: %s\n' "$version" > "$info/METADATA"
    local platforms=()
    for n in manylinux{_2_28,_2_27,_2_17,2014,1}; do platforms+=(--platform "${n}_x86_64"); done
    "$PYTHON" -m pip download -q --no-deps --only-binary=:all: --python-version 3.12 \
        --implementation cp "${platforms[@]}" -d .gpu1/wheels \
        nibabel isal pydicom PyWavelets platformdirs backports.zstd importlib_resources
    if [ "$init" != none ]; then
        "$PYTHON" -c 'import sys
from shutil import copy
from arssr.weights.registry import load
start = load(sys.argv[1])
copy(start.path, f"{sys.argv[2]}/{start.name}.safetensors")' "$init" ".gpu$parts"
    fi
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    # The largest image first, each to the part that is lightest so far.
    local sizes=()
    for n in $(seq "$parts"); do sizes[n]=$(du -sb ".gpu$n" | cut -f1); done
    while read -r size f; do
        part=1
        for n in $(seq "$parts"); do [ "${sizes[n]}" -ge "${sizes[part]}" ] || part=$n; done
        sizes[part]=$((sizes[part] + size * 4 / 5))  # as xz packs what gzip has packed before
        local to=$scratch/$part/train name
        case $f in "$val"/*) to=$scratch/$part/val ;; esac
        mkdir -p "$to"
        name=$(basename "$f")
        case $f in *.gz) gunzip -c "$f" > "$to/${name%.gz}" ;; *) cp "$f" "$to/" ;; esac
    done < <(find -L "$train" "$val" -name '*.nii*' -printf '%s %p\n' | sort -rn)
    for n in $(seq "$parts"); do
        mkdir -p "$scratch/$n"
        tar c -C "$scratch/$n" . | xz -T2 -4 > ".gpu$n/images.tar.xz"
        rm -rf "${scratch:?}/$n"
    done
    du -sb .gpu[0-9]*
    echo "$(git ls-files -z | xargs -0 du -cb | tail -1 | cut -f1) checkout; 67108864 with a part"
}

unpack() {
    mkdir -p "$WORK/data"
    tar xJf ".gpu$1/images.tar.xz" -C "$WORK/data"
    if [ -d ".gpu$1/wheels" ] && [ "$DEVICE" != cpu ]; then
        python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade \
            --target "$WORK/site" ".gpu$1"/wheels/*.whl
        cp -r ".gpu$1"/site/* "$WORK/site/"
        nvidia-smi -L
    fi
    for f in ".gpu$1"/*.safetensors; do [ ! -f "$f" ] || cp "$f" "$WORK/"; done
    find "$WORK/data" -name '*.nii' | wc -l
}

# What `arssr train` is told in both calls; the weights as they are at its end, in half precision.
train() {
    mkdir -p "$OUT"
    python3 -m arssr.cli.main train "$WORK/data/train" --val "$WORK/data/val" -o "$WORK/run" \
        --device "$DEVICE" --stop-after $(($1 - SAVING)) "${@:2}" 2>&1 | tee -a "$OUT/log.txt"
    python3 -c 'import sys
from pathlib import Path
from arssr.weights.files import load_weights, save_weights
for path in Path(sys.argv[1]).glob("*.safetensors"):
    save_weights(Path(sys.argv[2]) / path.name, *load_weights(path), half=True)' "$WORK/run" "$OUT"
    ls -l "$OUT"
}

first() {
    local seconds=$2 init=()
    for f in "$WORK"/*.safetensors; do [ ! -f "$f" ] || init=(--init "$f"); done
    train "$seconds" --config "$1" --seconds "$3" "${init[@]}" "${@:4}"
}

# The images travelled unpacked; the cards name the files that they came from.
fetch() {
    mkdir -p "$2"
    "$PYTHON" -c 'import sys
from pathlib import Path
from arssr.files import find_images
from arssr.survey import survey
from arssr.volume import Volume
from arssr.weights.files import load_weights, save_weights
source, out, *folders = map(Path, sys.argv[1:])
images, unusable = survey({path.name: path for path in find_images(folders)}, Volume.read)
known = {image.name.removesuffix(".gz"): image.describe() for image in images}
for path in source.glob("*.safetensors"):
    network, card = load_weights(path)
    for key in {"data", "chosen_on"} & card.keys():
        card[key] = [known[entry["name"]] for entry in card[key]]
    save_weights(out / path.name, network, card, half=True)
    print(out / path.name, card["steps"], "steps,", card["device"])' "$@"
}

export PYTHONPATH=$WORK/site:$PWD/src PYTHONUNBUFFERED=1 PYTHONWARNINGS=ignore
case ${1:-} in
    pack) pack "${@:2}" ;;
    unpack) unpack "$2" ;;
    first) first "${@:2}" ;;
    then) train "$2" --resume ;;
    fetch) fetch "${@:2}" ;;
    *) sed -n '2,22s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
