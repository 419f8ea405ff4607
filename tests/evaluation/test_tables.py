import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from arssr.evaluation.cards import card_results
from arssr.evaluation.metrics import METRICS
from arssr.evaluation.plots import plot
from arssr.evaluation.rows import Row
from arssr.evaluation.tables import Evaluation, overall_table, to_csv


def row(volume: str, scale: str, method: str, psnr: float, snr: float | None = None) -> Row:
    return Row(
        volume,
        f"hash of {volume}",
        degradation="slice",
        scale=scale,
        snr=snr,
        method=method,
        acquisition="slice" if method == "light" else "",
        weights_sha256="beef" if method == "light" else "",
        version="1.0",
        scores=dict.fromkeys(METRICS, 0.5) | {"psnr": psnr},
        seconds=0.25,
        peak_mib=300.0,
    )


ROWS = [
    *(row("a", "2", "cubic", 30), row("a", "2", "light", 31.5)),
    *(row("a", "1x1x4", "cubic", 25), row("a", "1x1x4", "light", 27, None)),
    *(row("b", "2", "cubic", 40), row("b", "2", "light", 39.5)),
    row("b", "1x1x4", "cubic", 28),
    replace(row("b", "1x1x4", "light", 0), scores={}, seconds=None, error="out | of memory"),
    Row("c", "hash of c", error="damaged"),
]
EVALUATION = Evaluation("test", "About it.", ROWS, {"jobs": 1})


def lines(markdown: str, heading: str) -> list[list[str]]:
    """The cells of the table under a heading."""
    part = markdown.split(f"## {heading}")[1].split("##")[0]
    return [
        [cell.strip() for cell in line.strip("|").replace("\\|", "/").split("|")]
        for line in part.splitlines()
        if line.startswith("|") and "---" not in line
    ]


def test_the_csv_is_tidy() -> None:
    read = list(csv.DictReader(to_csv(ROWS).splitlines()))
    assert len(read) == 9
    assert float(read[1]["psnr"]) == 31.5 and read[1]["snr"] == "" and read[1]["method"] == "light"
    assert (read[8]["error"], read[8]["psnr"], read[8]["method"]) == ("damaged", "", "")


def test_the_json_says_where_it_comes_from() -> None:
    content = json.loads(json.dumps(EVALUATION.to_json(), allow_nan=False))
    assert len(content["rows"]) == 9
    facts = content["provenance"]
    assert facts["volumes"] == {name: f"hash of {name}" for name in "abc"}
    assert facts["weights"] == {"light": "beef"} and facts["options"] == {"jobs": 1}
    assert {"arssr", "torch", "python"} <= set(facts["versions"])
    gain = next(s for s in content["overall"] if s["method"] == "light")["differences"]["psnr"]
    assert gain["per_volume"] == {"a": 1.75, "b": -0.5}


def test_what_is_not_finite_is_null_in_json() -> None:
    perfect = replace(ROWS[0], scores=dict.fromkeys(METRICS, float("inf")))
    content = Evaluation("x", "", [perfect], {}).to_json()
    assert content["rows"][0]["psnr"] is None


def test_the_markdown_tables() -> None:
    text = EVALUATION.to_markdown()
    means = lines(text, "PSNR, dB, mean over volumes")
    assert means[0] == ["degradation", "scale", "SNR", "cubic", "light"]
    assert means[1] == ["slice", "2", "", "35.00", "**35.50**"]
    assert means[2] == ["slice", "1×1×4", "", "26.50", "**27.00**"]
    differences = lines(text, "PSNR minus cubic's, dB")
    assert differences[1] == ["slice", "2", "", "+0.50 [-0.50, +1.50], 1–1"]
    assert differences[2][-1] == "+2.00, 1–0"
    volumes = lines(text, "Each volume: PSNR, dB / SSIM")
    assert volumes[1] == ["a", "slice", "2", "", "30.00 / 0.5000", "31.50 / 0.5000"]
    assert volumes[4][-1] == "failed"
    assert lines(text, "What failed")[1:] == [
        ["b", "slice", "1×1×4", "", "light", "out / of memory"],
        ["c", "", "", "", "", "damaged"],
    ]


def test_the_overall_table_has_the_costs() -> None:
    light = [cell.strip() for cell in overall_table(ROWS).splitlines()[3].strip("|").split("|")]
    assert light[0] == "light"
    assert light[-5:] == ["+0.62 [-0.50, +1.75]", "-0.50", "2–1", "0.25", "300"]


@pytest.mark.parametrize("rows", [ROWS, ROWS[1:2], ROWS[:1]])
def test_everything_is_written_and_the_pictures_are_pictures(
    tmp_path: Path, rows: list[Row]
) -> None:
    written = Evaluation("test", "About.", rows, {}).write(tmp_path / "out")
    names = ["results.csv", "results.json", "results.md", "psnr.png", "ssim.png"]
    assert [path.name for path in written] == names
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(names)
    for path in written[3:]:
        with Image.open(path) as image:
            assert min(image.size) > 300 and len(image.convert("L").getcolors() or []) > 10


def test_without_a_single_result_there_are_no_pictures(tmp_path: Path) -> None:
    written = Evaluation("test", "", ROWS[-1:], {}).write(tmp_path)
    assert [path.suffix for path in written] == [".csv", ".json", ".md"]


def test_the_figure_shows_what_the_rows_say() -> None:
    upper, lower = plot([*ROWS, row("a", "2", "cubic", 20, 10)]).axes[::2]
    drawn = {line.get_label(): line.get_ydata().tolist() for line in upper.lines}  # type: ignore[union-attr]
    assert drawn["light"] == [35.5] and drawn["cubic"] == [35.0]
    assert upper.get_title(loc="left") == "slice"
    assert [tick.get_text() for tick in lower.get_xticklabels()] == ["2", "1×1×4"]


@pytest.mark.parametrize("count", [2, 3, 12])
def test_every_method_stands_at_its_scale_and_beside_the_others(count: int) -> None:
    own = [replace(ROWS[1], method=f"model {n}", volume=v) for n in range(count) for v in "ab"]
    lower = plot([*ROWS, *own]).axes[1]
    means = [line for line in lower.lines if line.get_marker() == "D"]
    at = np.array([float(line.get_xdata()[0]) for line in means])  # type: ignore[index]
    assert np.abs(at - at.round()).max() < 0.301
    assert len(np.unique(at.round(6))) == len(at)
    if count == 2:
        assert np.abs(at - at.round()).max() < 0.1


def test_a_card_quotes_the_model_beside_the_baselines() -> None:
    card = card_results(ROWS, "light")
    assert card["weights_sha256"] == "beef" and card["version"] == "1.0"
    assert card["table"][0] == {
        "volume": "a",
        "degradation": "slice",
        "scale": "2",
        "snr": None,
        "told": "slice",
        "psnr": {"cubic": 30, "light": 31.5},
        "ssim": {"cubic": 0.5, "light": 0.5},
    }
    assert len(card["table"]) == 3  # the failed one is not quoted
    assert card["gain"]["all"]["wins"] == 2
    assert card["gain"]["settings"][1] == {
        **{"degradation": "slice", "scale": "1x1x4", "snr": None},
        **{"mean": 2.0, "low": None, "high": None, "worst": 2.0, "wins": 1, "losses": 0},
        **{"ssim_wins": 0, "ssim_losses": 0},
    }
    assert EVALUATION.to_json()["cards"] == {"light": card}
    json.dumps(card, allow_nan=False)
