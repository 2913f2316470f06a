"""Names of metrics, values and differences as tables, figures and sentences show them."""

import math

_LABELS = {
    "miou": "mIoU",
    "boundary_f": "boundary F",
    "abs_rel": "AbsRel",
    "sq_rel": "SqRel",
    "rmse": "RMSE",
    "rmse_log": "RMSE (log)",
    "silog": "SILog",
    "edge_rmse": "RMSE at depth edges",
    "edge_abs_rel": "AbsRel at depth edges",
    "mean_angle": "mean angle",
    "edge_mean_angle": "mean angle at edges",
}
_WORDS = {"miou": "mIoU", "iou": "IoU", "rmse": "RMSE", "f": "F"}
_DECIMALS = {"%": 2, "deg": 2, "m": 4}
_UNITS = {"1": "", "deg": "°"}


def metric_label(name: str) -> str:
    """Return a metric's name as the field writes it.

    Example:
        >>> metric_label("boundary_iou"), metric_label("trimap_miou_4")
        ('boundary IoU', 'trimap mIoU 4')
    """
    return _LABELS.get(name) or " ".join(_WORDS.get(word, word) for word in name.split("_"))


def metric_header(name: str, unit: str, higher_is_better: bool) -> str:
    """Return label, unit and direction of improvement, such as ``mIoU (%) ↑``."""
    shown = _UNITS.get(unit, unit)
    label = f"{metric_label(name)} ({shown})" if shown else metric_label(name)
    return f"{label} {'↑' if higher_is_better else '↓'}"


def value_text(mean: float, std: float, unit: str) -> str:
    """Return ``mean ± standard deviation`` with the decimals of the unit."""
    if math.isnan(mean):
        return "undefined"
    decimals = _DECIMALS.get(unit, 4)
    spread = "" if math.isnan(std) else f" ± {std:.{decimals}f}"
    return f"{mean:.{decimals}f}{spread}"


def difference_text(delta: float, low: float, high: float, unit: str) -> str:
    """Return ``+mean [low, high]`` with the decimals of the unit."""
    if math.isnan(delta):
        return "undefined"
    decimals = _DECIMALS.get(unit, 4)
    interval = "no interval" if math.isnan(low) else f"{low:.{decimals}f}, {high:.{decimals}f}"
    return f"{delta:+.{decimals}f} [{interval}]"
