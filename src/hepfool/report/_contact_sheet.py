# SPDX-License-Identifier: BSD-3-Clause
"""Every figure of a folder at a glance."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image  # which Matplotlib needs too

from hepfool.io._files import check_absent, written_whole
from hepfool.report._manifest import update_manifest

_NAME = "contact_sheet"
_DPI = 110
_MAX_WIDTH = 1500


def make_contact_sheet(folder: str | Path, *, force: bool = False) -> tuple[Path, ...]:
    """
    Lay out every PNG image in a folder and the folders in it.

    Parameters
    ----------
    folder : str or Path
        Such as a report, or ``analysis_examples``.
    force : bool
        Replace an earlier contact sheet.

    Returns
    -------
    tuple of Path
        ``contact_sheet.pdf`` with all pages and ``contact_sheet_1.png`` and so on, in the folder.

    Raises
    ------
    FileNotFoundError
        If the folder holds no PNG image.
    FileExistsError
        If there is a contact sheet and ``force`` is False.
    ValueError
        If an image cannot be read.
    """
    path = Path(folder)
    found = [file for file in sorted(path.rglob("*.png")) if not file.name.startswith(_NAME)]
    if not found:
        msg = f"{path} holds no PNG image; name a folder with figures"
        raise FileNotFoundError(msg)
    check_absent(path / f"{_NAME}.pdf", force=force)
    images = {str(file.relative_to(path).with_suffix("")): file.read_bytes() for file in found}
    for old in path.glob(f"{_NAME}_[0-9]*.png"):
        if old.stem.removeprefix(f"{_NAME}_").isdigit():
            old.unlink()
    written = write_contact_sheet(path, images, title=path.resolve().name)
    update_manifest(path, written)
    return written


def write_contact_sheet(folder: Path, images: Mapping[str, bytes], *, title: str = "") -> tuple[Path, ...]:
    """Lay out images."""
    # Drawing libraries are loaded only when something is drawn.
    from matplotlib.backends.backend_pdf import PdfPages  # noqa: PLC0415

    from hepfool.plots._contact_sheet import plot_contact_sheet  # noqa: PLC0415

    pages = plot_contact_sheet({name: _read(name, image) for name, image in images.items()}, title=title)
    paths = [folder / f"{_NAME}.pdf"]
    with written_whole(paths[0], force=True) as temporary, PdfPages(temporary, metadata={"CreationDate": None}) as pdf:
        for page in pages:
            pdf.savefig(page, dpi=_DPI)
    for number, page in enumerate(pages, start=1):
        paths.append(folder / f"{_NAME}_{number}.png")
        with written_whole(paths[-1], force=True) as temporary:
            page.savefig(temporary, dpi=_DPI)
    return tuple(paths)


def _read(name: str, image: bytes) -> NDArray[np.uint8]:
    """Pixels, at most about as many as a page can show."""
    try:
        opened = Image.open(io.BytesIO(image), formats=("PNG",)).convert("RGB")
    except (OSError, SyntaxError) as error:
        # A damaged image raises either.
        msg = f"{name} cannot be read as a PNG image ({error}); draw it again"
        raise ValueError(msg) from error
    return np.asarray(opened.reduce(max(1, opened.width // _MAX_WIDTH)))
