#!/bin/sh
# Whether an image works, run in it by a user who is not root: a phantom of thick slices becomes a
# sharper one, by itself and in a BIDS data set. Says how long that takes.
set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ "$(id -u)" != 0 ] || { echo "check.sh: this is root" >&2; exit 1; }

mkdir -p "$work/bids/sub-01/anat"
scan=$work/bids/sub-01/anat/sub-01_T1w.nii.gz
/opt/arssr/bin/python - "$scan" <<'PHANTOM'
import sys

import nibabel
import numpy as np

i, j, k = np.meshgrid(*(np.linspace(-1, 1, n) for n in (64, 64, 16)), indexing="ij", sparse=True)
head = (i**2 + j**2 + k**2 < 0.9) * (100 + 50 * np.sin(9 * i) * np.cos(7 * j))
head = np.abs(head + 3 * np.random.default_rng(0).standard_normal(head.shape))
image = nibabel.Nifti1Image(head.astype(np.float32), np.diag([1, 1, 4, 1]))
image.header.set_xyzt_units("mm")
image.to_filename(sys.argv[1])
PHANTOM
echo '{"Name": "a phantom", "BIDSVersion": "1.10.0"}' >"$work/bids/dataset_description.json"

echo "as $(id -u), $(arssr --version)"
begun=$(date +%s)
arssr upsample "$scan" -o "$work/sharper.nii.gz" --report
arssr bids "$work/bids" "$work/out" participant
ls "$work/sharper.json" "$work/sharper.html" "$work/out/index.html" \
    "$work/out/sub-01/anat/sub-01_res-SR_desc-arssr_T1w.nii.gz" >/dev/null
echo "a phantom, alone and as a data set: $(($(date +%s) - begun)) s"
