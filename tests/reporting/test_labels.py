import math

from dejavu.reporting.labels import difference_text, metric_header, value_text


def test_numbers_and_headers() -> None:
    assert value_text(51.234, 0.456, "%") == "51.23 ± 0.46"
    assert value_text(0.51234, math.nan, "m") == "0.5123"
    assert difference_text(-0.004, -0.1, 0.092, "%") == "-0.00 [-0.10, 0.09]"
    assert metric_header("abs_rel", "1", False) == "AbsRel ↓"
    assert metric_header("within_11.25", "%", True) == "within 11.25 (%) ↑"
