"""The examples under the help of each command."""

EXAMPLES = {
    "upsample": (
        ("FLAIR.nii.gz -o FLAIR_SR.nii.gz", "thick slices become thin"),
        ("T1.nii.gz -o T1_SR.nii.gz --scale 2", "twice as fine along every axis"),
        ("scans/ -o sharper/ --spacing 1 --report", "a folder to 1 mm, with pages to look at"),
        ("T2.nii.gz -o T2_on_T1.nii.gz --like T1.nii.gz", "on another image's grid"),
        ("scans/ -o sharper/ --dry-run", "what would be made, and how long it takes"),
    ),
    "merge": (
        (
            "axial.nii.gz sagittal.nii.gz coronal.nii.gz -o T2.nii.gz",
            "three thick scans, one image",
        ),
        ("FLAIR_1.nii.gz FLAIR_2.nii.gz -o FLAIR.nii.gz --spacing 1", "a scan and its repeat"),
        ("FLAIR.nii.gz T1.nii.gz -o both/ --separate", "two contrasts on one grid"),
    ),
    "view": (
        ("FLAIR.nii.gz", "see it, super-resolve it and compare, in a browser"),
        ("--no-browser --port 8000", "on a server; it prints how to connect"),
    ),
    "bids": (
        ("BIDS_DIR OUT_DIR participant", "thick T1w images become thin"),
        ("BIDS_DIR OUT_DIR participant --spacing 1 -s T2w FLAIR", "others, to 1 mm"),
        ("BIDS_DIR OUT_DIR participant --merge -s T2w", "the T2w of each session to one"),
        ("BIDS_DIR OUT_DIR participant --bids-filter-file chosen.json", "images by their names"),
        ("BIDS_DIR OUT_DIR group", "the overview alone"),
    ),
    "prepare": (("volumes/ -o patches", "patches of high-resolution volumes"),),
    "train": (
        ("patches/hr_train --val patches/hr_val -o runs/mine", "a run"),
        ("patches/hr_train --val patches/hr_val -o runs/mine --resume", "goes on with it"),
    ),
    "adapt": (("FLAIR.nii.gz -o mine.safetensors", "weights of its own, for --model"),),
    "evaluate": (
        ("volumes/ -o tables --protocol scanners", "all shipped weights and baselines"),
        ("T1.nii.gz -o tables --degradations slice --scales 1x1x4 -m light", "one setting"),
    ),
    "compare": (
        ("T1.nii.gz T1_SR.nii.gz -o page.html", "side by side"),
        ("cubic.nii.gz T1_SR.nii.gz --truth T1_hr.nii.gz -o page.html", "with errors"),
    ),
    "bench": (("--model light --scale 2", "how fast this machine is"),),
    "models": (("", "what ships"),),
    "info": (
        ("FLAIR.nii.gz", "where it lies, and on which voxels it was measured"),
        ("light", "what weights were trained for, and what they gain"),
    ),
    "mrd": (("--model light", "listens at 127.0.0.1:9002 for MRD clients"),),
    "export": (("light -o light.onnx", "light-encoder.onnx and light-decoder.onnx"),),
}


def epilog(command: str) -> str:
    """The examples of a command as paragraphs: typer joins single lines."""
    lines = [f"arssr {command} {words}".rstrip() for words, _ in EXAMPLES[command]]
    meanings = [meaning for _, meaning in EXAMPLES[command]]
    shown = [f"{line}  # {meaning}" for line, meaning in zip(lines, meanings, strict=True)]
    return "\n\n".join(["Examples:", *shown])
