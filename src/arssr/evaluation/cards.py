"""What a model card quotes of an evaluation: plain values, so that the card can carry them."""

from collections.abc import Sequence
from typing import Any

from arssr.evaluation.rows import Row
from arssr.evaluation.summary import Summary, by_setting, overall


def card_results(rows: Sequence[Row], model: str) -> dict[str, Any]:
    """PSNR and SSIM of a model beside the baselines', and its gain over cubic in dB.

    table: an entry for every volume and setting; `told` is the acquisition that the model was
    told. gain: the paired difference from cubic over all settings, and in each; in each also the
    mean gain of the Wiener filter, and in how many volumes SSIM is better and worse than cubic's.
    """
    baselines: dict[Any, list[Row]] = {}
    for row in rows:
        if row.scores and not row.weights_sha256:
            baselines.setdefault((row.volume, row.setting), []).append(row)
    own = [row for row in rows if row.scores and row.method == model]
    summaries = by_setting(rows)
    settings = [s for s in summaries if s.method == model]
    wiener = {_key(s): _gain(s) for s in summaries if s.method == "wiener"}
    table = []
    for row in own:
        beside = baselines.get((row.volume, row.setting), [])
        table.append(
            {
                "volume": row.volume,
                **_setting(row),
                "told": row.acquisition,
                **{
                    metric: {r.method: round(r.scores[metric], 4) for r in (*beside, row)}
                    for metric in ("psnr", "ssim")
                },
            }
        )
    return {
        "weights_sha256": own[0].weights_sha256 if own else "",
        "version": own[0].version if own else "",
        "gain": {
            "all": next((_gain(s) for s in overall(rows) if s.method == model), None),
            "settings": [
                _setting(s) | (_gain(s) or {}) | _beside(s, wiener.get(_key(s))) for s in settings
            ],
        },
        "table": table,
    }


def _setting(of: Row | Summary) -> dict[str, Any]:
    return {"degradation": of.degradation, "scale": of.scale, "snr": of.snr}


def _key(of: Summary) -> tuple[str, str, float | None]:
    return of.degradation, of.scale, of.snr


def _beside(summary: Summary, wiener: dict[str, Any] | None) -> dict[str, Any]:
    """What keeps a gain in proportion: plain deconvolution, and another measure."""
    ssim = summary.differences.get("ssim")
    facts: dict[str, Any] = {} if wiener is None else {"wiener": wiener["mean"]}
    return facts if ssim is None else facts | {"ssim_wins": ssim.wins, "ssim_losses": ssim.losses}


def _gain(summary: Summary) -> dict[str, Any] | None:
    gain = summary.differences.get("psnr")
    if gain is None:
        return None
    values = {"mean": gain.mean, "low": gain.low, "high": gain.high, "worst": gain.worst}
    rounded = {name: None if v is None else round(v, 4) for name, v in values.items()}
    return {**rounded, "wins": gain.wins, "losses": gain.losses}
