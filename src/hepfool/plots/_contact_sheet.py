# SPDX-License-Identifier: BSD-3-Clause
"""Many images on few pages, each with its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from matplotlib.figure import Figure
from numpy.typing import NDArray

from hepfool.plots._style import PlotStyle

#: A pixel image, shape (height, width) or (height, width, n_channels).
Image = NDArray[Any]

#: Page in inches, as a wide slide; its margin, the line with a name, and the highest row.
_WIDTH, _HEIGHT, _MARGIN, _LINE, _HIGHEST = 13.33, 7.5, 0.25, 0.25, 2.9
#: Width over height from which on a row is full.
_FULL_ROW = 3.6

_Row = list[tuple[str, Image]]


def plot_contact_sheet(images: Mapping[str, Image], *, title: str = "") -> tuple[Figure, ...]:
    """
    Lay out images in rows, in their order, without stretching any.

    Parameters
    ----------
    images : mapping of str to array, shape (height, width) or (height, width, n_channels)
        Pixels by name.
    title : str
        Written on every page with the number of the page.

    Returns
    -------
    tuple of matplotlib.figure.Figure
        One per page, to be saved by the caller; they have no experiment label, the images have their own.

    Raises
    ------
    ValueError
        If there is no image.
    """
    if not images:
        msg = "no image for a contact sheet; give at least one"
        raise ValueError(msg)
    pages = list(_pages(list(_rows(images))))
    style = PlotStyle(experiment="plain")
    figures = []
    with style.context():
        for number, rows in enumerate(pages, start=1):
            figure = Figure(figsize=(_WIDTH, _HEIGHT))
            heading = f"{title}  ({number}/{len(pages)})".strip()
            figure.text(
                _MARGIN / _WIDTH,
                1.0 - 0.7 * _MARGIN / _HEIGHT,
                heading,
                fontsize=12,
                va="top",
                weight="bold",
                parse_math=False,
            )
            _draw_page(figure, rows)
            figures.append(figure)
    return tuple(figures)


def _aspect(image: Image) -> float:
    return float(image.shape[1] / image.shape[0])


def _rows(images: Mapping[str, Image]) -> Iterator[_Row]:
    row: _Row = []
    for item in images.items():
        row.append(item)
        if sum(_aspect(image) for _, image in row) >= _FULL_ROW:
            yield row
            row = []
    if row:
        yield row


def _row_height(row: _Row) -> float:
    """Height of the images of a row in inches."""
    free = _WIDTH - _MARGIN * (len(row) + 1)
    return min(free / sum(_aspect(image) for _, image in row), _HIGHEST)


def _pages(rows: list[_Row]) -> Iterator[list[_Row]]:
    page: list[_Row] = []
    used = 2.0 * _MARGIN + _LINE
    for row in rows:
        height = _row_height(row) + _LINE + _MARGIN / 2
        if page and used + height > _HEIGHT:
            yield page
            page, used = [], 2.0 * _MARGIN + _LINE
        page.append(row)
        used += height
    yield page


def _draw_page(figure: Figure, rows: list[_Row]) -> None:
    top = _HEIGHT - _MARGIN - _LINE
    for row in rows:
        height, left = _row_height(row), _MARGIN
        for name, image in row:
            width = height * _aspect(image)
            bottom = top - _LINE - height
            ax = figure.add_axes((left / _WIDTH, bottom / _HEIGHT, width / _WIDTH, height / _HEIGHT))
            ax.imshow(image, cmap="gray", aspect="auto", interpolation="antialiased")
            ax.set_xticks([], minor=False)
            ax.set_yticks([], minor=False)
            ax.tick_params(which="both", length=0)
            for spine in ax.spines.values():
                spine.set(linewidth=0.5, color="0.7")
            ax.set_title(name, fontsize=11, loc="left", pad=3, parse_math=False)
            left += width + _MARGIN
        top -= _LINE + height + _MARGIN / 2
