"""Draw the costs: a panel for each size, a row for each candidate, and a dot on a logarithmic scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import ceil, floor, log10

from bench.report import figure
from realtime_fsm.diagram.style import css, text_width

_ROW, _TOP, _MARGIN, _GAP, _PANEL = 24, 96, 28, 18, 190
_SIZE, _SMALL, _TITLE = 13.0, 11.5, 18.0


def picture(title: str, figures: Mapping[str, Mapping[str, float]], marked: Sequence[str]) -> str:
    """Draw microseconds of CPU.

    Args:
        title: the title of the picture.
        figures: the figure by panel and row.
        marked: our rows.
    """
    names = list(next(iter(figures.values())))
    left = _MARGIN + max(text_width(name, _SIZE) for name in names) + _GAP
    width = left + len(figures) * (_PANEL + _GAP) - _GAP + _MARGIN
    height = _TOP + len(names) * _ROW + _MARGIN + 12
    parts = [
        _text(_MARGIN, 38, title, _TITLE, weight="bold"),
        _text(
            _MARGIN,
            58,
            "microseconds of CPU for one event, by its size; less is better, and each line is ten times the line before",
            _SIZE,
            "soft",
        ),
    ]
    for row, name in enumerate(names):
        at = _TOP + row * _ROW
        if name in marked:
            parts.append(_box(_MARGIN - 8, at, width - 2 * _MARGIN + 16, _ROW, "live-tint"))
        parts.append(_text(_MARGIN, at + 16, name, _SIZE, weight="bold" if name in marked else "normal"))
    for number, (label, costs) in enumerate(figures.items()):
        parts += _panel(
            left + number * (_PANEL + _GAP), label, [costs[name] for name in names], [name in marked for name in names]
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" height="{height}" '
        f'role="img" aria-label="{escape(title)}" class="fsm">\n<style>{css()}</style>\n{_box(0, 0, width, height, "paper")}\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _panel(left: float, label: str, costs: Sequence[float], ours: Sequence[bool]) -> list[str]:
    low, high = floor(log10(min(costs))), ceil(log10(max(costs)))
    room = _PANEL - 44  # for the figure behind the last dot
    bottom = _TOP + len(costs) * _ROW
    parts = [_text(left, _TOP - 12, label, _SIZE, weight="bold")]
    for power in range(low, high + 1):
        x = left + room * (power - low) / (high - low)
        parts.append(f'<path d="M{x:.1f} {_TOP}V{bottom}" class="hair"/>')
        parts.append(_text(x, bottom + 16, f"{10.0**power:,g}", _SMALL, "soft", anchor="middle"))
    for row, (cost, is_ours) in enumerate(zip(costs, ours, strict=True)):
        kind = "live" if is_ours else "rest"
        x, y = left + room * (log10(cost) - low) / (high - low), _TOP + row * _ROW + _ROW / 2
        parts.append(f'<path d="M{left:.1f} {y}H{x:.1f}" class="{kind}-line" stroke-width="2" opacity=".45"/>')
        parts.append(f'<circle cx="{x:.1f}" cy="{y}" r="4.5" class="{kind}-text"/>')
        parts.append(_text(x + 8, y + 4, figure(cost), _SMALL, weight="bold" if is_ours else "normal"))
    return parts


def _text(
    x: float, y: float, text: str, size: float, color: str = "ink", *, weight: str = "normal", anchor: str = "start"
) -> str:
    style = f'font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" class="{color}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'


def _box(x: float, y: float, width: float, height: float, color: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" class="{color}"/>'
