"""Rows as files that people and programs read: CSV, JSON and Markdown."""

import csv
import io
import json
import math
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from arssr.evaluation.cards import card_results
from arssr.evaluation.metrics import METRICS
from arssr.evaluation.plots import plot
from arssr.evaluation.rows import Row
from arssr.evaluation.summary import YARDSTICK, Summary, by_setting, overall
from arssr.evaluation.taught import told_of_taught
from arssr.extras import versions
from arssr.files import counted, replacing, write_text

_END = "<!-- end of tables -->"
_PACKAGES = ("arssr", "torch", "numpy", "scipy", "scikit-image", "SimpleITK", "nibabel")
_NOTES = """\
Every method answers on the grid of the high-resolution volume and is compared with it everywhere. \
Models are told the acquisition, unless they are marked as blind, and estimate the noise \
themselves. PSNR and SSIM take max − min of the truth for their range; "head" is inside Otsu's \
mask of the truth, holes filled. NRMSE and HFEN are relative to the truth. Consistency is the \
relative difference between the degraded result and the scan it was made of (noise of the scan \
included). Differences from cubic are paired by volume; in brackets the 95 % bootstrap interval of \
their mean over volumes; wins and losses count volumes and settings. Seconds are a mean, memory is \
the peak of the process."""


@dataclass(frozen=True)
class Evaluation:
    """Everything that a table or a model card says: what was asked, of what, and the answers.

    options: how it was run, as JSON can say it.
    """

    name: str
    about: str
    rows: Sequence[Row]
    options: Mapping[str, Any]

    def write(self, folder: Path) -> list[Path]:
        """results.csv, .json and .md, psnr.png and ssim.png in `folder`, each whole or not at all.

        Raises ArSSRError where they cannot be written.
        """
        texts = {
            "results.csv": to_csv(self.rows),
            "results.json": json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n",
            "results.md": self.to_markdown(),
        }
        written = [folder / name for name in texts]
        for path, text in zip(written, texts.values(), strict=True):
            write_text(path, text)
        if any(row.scores for row in self.rows):
            for metric in ("psnr", "ssim"):
                written.append(folder / f"{metric}.png")
                with replacing(written[-1]) as temporary:
                    plot(self.rows, metric).savefig(temporary, dpi=150)
        return written

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is not a finite number is null."""
        models = {row.method for row in self.rows if row.weights_sha256 and row.scores}
        content = {
            "name": self.name,
            "about": self.about,
            "provenance": provenance(self.rows) | {"options": dict(self.options)},
            "overall": [asdict(summary) for summary in overall(self.rows)],
            "by_setting": [asdict(summary) for summary in by_setting(self.rows)],
            "cards": {model: card_results(self.rows, model) for model in sorted(models)},
            "rows": [row.flat() for row in self.rows],
        }
        plain: dict[str, Any] = _finite(content)
        return plain

    def to_markdown(self) -> str:
        """The tables, with a word on what they say."""
        count = counted(len({row.volume_sha256 for row in self.rows}), "volume")
        parts = [
            f"# Evaluation: {self.name}",
            self.about,
            f"{count}, arssr {version('arssr')}. {_NOTES}",
            "## All settings together",
            overall_table(self.rows),
        ]
        summaries = by_setting(self.rows)
        for metric in ("psnr", "ssim"):
            parts += [f"## {METRICS[metric].label}, mean over volumes"]
            parts += [_means_table(summaries, metric)]
        if any(summary.differences for summary in summaries):
            parts += ["## PSNR minus cubic's, dB", _differences_table(summaries, "psnr")]
        parts += ["## Each volume: PSNR, dB / SSIM", _volumes_table(self.rows)]
        if taught := told_of_taught(self.rows):
            parts.insert(3, "**" + "; ".join(taught) + ".**")
        if failed := [row for row in self.rows if row.error]:
            cells = [(r.volume, *_words(r.setting), r.method, r.error) for r in failed]
            header = ("volume", "degradation", "scale", "SNR", "method", "reason")
            parts += ["## What failed", markdown_table(header, cells)]
        return "\n\n".join(parts) + "\n"


def to_csv(rows: Iterable[Row]) -> str:
    """Tidy: a line a row, a column a variable, empty where there is no value."""
    text = io.StringIO()
    columns = list(Row(volume="", volume_sha256="").flat())
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.flat() for row in rows)
    return text.getvalue()


def provenance(rows: Iterable[Row]) -> dict[str, Any]:
    """Which volumes and weights, by their hashes, and with which versions of what."""
    rows = list(rows)
    return {
        "volumes": {row.volume: row.volume_sha256 for row in rows},
        "weights": {row.method: row.weights_sha256 for row in rows if row.weights_sha256},
        "versions": versions(_PACKAGES) | {"python": platform.python_version()},
        "platform": f"{sys.platform} {platform.machine()}",
    }


def overall_table(rows: Sequence[Row]) -> str:
    """One line a method: every metric, the gain over cubic, the costs; Markdown."""
    header = ["method", *(metric.label for metric in METRICS.values()), "PSNR − cubic"]
    header += ["worst", "wins–losses", "seconds", "peak MiB"]
    lines = []
    for summary in overall(rows):
        gain = summary.differences.get("psnr")
        line = [summary.method, *(m.text(summary.means[name]) for name, m in METRICS.items())]
        line += [_gain(summary, "psnr")]
        line += [f"{gain.worst:+.2f}", f"{gain.wins}–{gain.losses}"] if gain else ["", ""]
        line += [f"{summary.seconds:.2f}", f"{summary.peak_mib:.0f}"]
        lines.append(line)
    return markdown_table(header, lines)


def _means_table(summaries: Sequence[Summary], metric: str) -> str:
    """A line a setting, a column a method, the best of a line in bold."""
    methods = list(dict.fromkeys(summary.method for summary in summaries))
    lines = []
    for setting, of_method in _lines(summaries).items():
        means = {m: s.means[metric] for m, s in of_method.items() if s.volumes}
        written = {method: METRICS[metric].text(mean) for method, mean in means.items()}
        top = METRICS[metric].best(map(float, written.values())) if written else None
        marked = {m: f"**{t}**" if float(t) == top else t for m, t in written.items()}
        lines.append((*_words(setting), *(marked.get(method, "") for method in methods)))
    return markdown_table(("degradation", "scale", "SNR", *methods), lines)


def _differences_table(summaries: Sequence[Summary], metric: str) -> str:
    """A line a setting, a column a method: mean [interval], wins–losses."""
    methods = [m for m in dict.fromkeys(s.method for s in summaries) if m != YARDSTICK]
    lines = []
    for setting, of_method in _lines(summaries).items():
        texts = []
        for method in methods:
            summary = of_method.get(method)
            difference = summary.differences.get(metric) if summary else None
            count = f", {difference.wins}–{difference.losses}" if difference else ""
            texts.append(_gain(summary, metric) + count if summary else "")
        lines.append((*_words(setting), *texts))
    return markdown_table(("degradation", "scale", "SNR", *methods), lines)


def _volumes_table(rows: Sequence[Row]) -> str:
    methods = list(dict.fromkeys(row.method for row in rows if row.method))
    lines: dict[tuple[Any, ...], dict[str, str]] = {}
    for row in rows:
        if row.method:
            texts = [METRICS[m].text(row.scores[m]) for m in ("psnr", "ssim") if row.scores]
            seen = " (trained on)" if row.trained_on else ""
            line = lines.setdefault((row.volume, *_words(row.setting)), {})
            line[row.method] = (" / ".join(texts) or "failed") + seen
    cells = [(*names, *(line.get(m, "") for m in methods)) for names, line in lines.items()]
    return markdown_table(("volume", "degradation", "scale", "SNR", *methods), cells)


def _lines(summaries: Sequence[Summary]) -> dict[tuple[str, str, float | None], dict[str, Summary]]:
    """Setting → method → summary."""
    lines: dict[tuple[str, str, float | None], dict[str, Summary]] = {}
    for summary in summaries:
        setting = (summary.degradation, summary.scale, summary.snr)
        lines.setdefault(setting, {})[summary.method] = summary
    return lines


def _gain(summary: Summary, metric: str) -> str:
    difference = summary.differences.get(metric)
    if difference is None:
        return ""
    if difference.low is None:
        return f"{difference.mean:+.2f}"
    return f"{difference.mean:+.2f} [{difference.low:+.2f}, {difference.high:+.2f}]"


def _words(setting: tuple[str, str, float | None]) -> tuple[str, str, str]:
    degradation, scale, snr = setting
    return degradation, scale.replace("x", "×"), "" if snr is None else f"{snr:g}"


def markdown_table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table; a column of numbers is ruled off to the right."""
    cells = [[text.replace("|", "\\|") for text in line] for line in lines]
    numeric = [
        all(not line[column] or line[column].strip("*")[0] in "+−-0123456789" for line in cells)
        for column in range(len(header))
    ]
    rule = ["---:" if n else "---" for n in numeric]
    return "\n".join(f"| {' | '.join(line)} |" for line in [list(header), rule, *cells])


def write_tables(page: Path, command: str, tables: str) -> None:
    """Put tables into a page, between the line that names what makes them and `_END`."""
    begin = f"<!-- tables: {command} -->"
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    after = rest.partition(_END)[2]
    write_text(page, f"{before}{begin}\n\n{tables.rstrip()}\n\n{_END}{after}")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
