"""The numbers of the page Agreement as its plots take them."""

from __future__ import annotations

from ki67 import numbers
from ki67.charts_limits import BandLine, DotCloud, FittedLine, LimitMark, LimitPanel
from ki67.stats.estimate import Estimate
from ki67.study.agreement import AgreementView
from ki67.study.agreement_parts import Dots
from ki67.study.agreement_rows import Comparison, Curve, Scatter


def panel_of(view: AgreementView, compared: Comparison) -> LimitPanel:
    """One comparison as a Bland–Altman panel."""
    return LimitPanel(
        title=compared.name,
        role=compared.role,
        dots=_cloud(compared.dots),
        levels=view.levels,
        bias=_band(compared.bias_curve) if compared.bias_curve else None,
        lower=_band(compared.lower_curve),
        upper=_band(compared.upper_curve),
    )


def mark_of(compared: Comparison) -> LimitMark:
    """Its bias and limits at the level."""
    return LimitMark(compared.role, _three(compared.bias), _three(compared.lower), _three(compared.upper))


def scatter_cloud(shown: Scatter, reference: str) -> DotCloud:
    """Algorithm over panel; `reference` is how the panel is called in the text of a point."""
    dots = shown.dots
    texts = tuple(
        f"{case}<br>{reference} {_number(x)} %, algorithm {_number(y)} %"
        for case, x, y in zip(dots.cases, dots.x.tolist(), dots.y.tolist(), strict=True)
    )
    return DotCloud(dots.x, dots.y, dots.cases, texts)


def fitted_lines(shown: Scatter) -> list[FittedLine]:
    """The regression line, where it is defined."""
    if shown.slope.value is None or shown.intercept.value is None:
        return []
    return [FittedLine("Passing–Bablok", shown.intercept.value, shown.slope.value)]


def _three(estimate: Estimate | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if estimate is None else (estimate.value, estimate.ci_low, estimate.ci_high)


def _cloud(dots: Dots) -> DotCloud:
    texts = tuple(
        f"{case} · {who}<br>{_number(y)} − {_number(x)} %"
        for case, who, x, y in zip(dots.cases, dots.who, dots.x.tolist(), dots.y.tolist(), strict=True)
    )
    return DotCloud(dots.mean, dots.difference, dots.cases, texts)


def _band(curve: Curve) -> BandLine:
    return BandLine(curve.value, curve.low, curve.high)


def _number(value: float) -> str:
    return numbers.decimal(value, decimals=1)
