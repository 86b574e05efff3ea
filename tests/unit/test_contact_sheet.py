# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.figure import Figure
from PIL import Image

from hepfool import cli
from hepfool.plots import plot_contact_sheet
from hepfool.report.contact_sheet import make_contact_sheet


def draw(folder: Path, *names: str, width: int = 60, height: int = 40) -> None:
    for name in names:
        path = folder / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (width, height), "blue").save(path)


def test_every_image_keeps_its_shape_and_stands_on_a_page() -> None:
    images = {f"{k}": np.zeros((100, 40 + 30 * k, 3), dtype=np.uint8) for k in range(25)}
    pages = plot_contact_sheet(images, title="all")
    assert len(pages) > 1
    shown = [ax for page in pages for ax in page.axes]
    assert [ax.get_title(loc="left") for ax in shown] == list(images)
    for ax, image in zip(shown, images.values(), strict=True):
        figure = ax.get_figure()
        assert isinstance(figure, Figure)
        box = ax.get_position()
        assert 0.0 < box.x0 < box.x1 < 1.0
        assert 0.0 < box.y0 < box.y1 < 1.0
        width, height = figure.get_size_inches() * (box.width, box.height)
        assert width / height == pytest.approx(image.shape[1] / image.shape[0])
    for page in pages:
        boxes = [ax.get_position() for ax in page.axes]
        overlap = [a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k]]
        assert not any(overlap)
    assert pages[0].texts[0].get_text() == f"all  (1/{len(pages)})"


def test_the_command_shows_all_images_of_a_folder(tmp_path: Path) -> None:
    draw(tmp_path, "b", "figures/a")
    first = CliRunner().invoke(cli.main, ["contact-sheet", str(tmp_path)])
    assert first.exit_code == 0, first.output
    assert first.output.split() == [str(tmp_path / name) for name in ("contact_sheet.pdf", "contact_sheet_1.png")]
    pixels = np.asarray(Image.open(tmp_path / "contact_sheet_1.png").convert("RGB")).reshape(-1, 3)
    assert (pixels == (0, 0, 255)).all(axis=1).any()
    again = CliRunner().invoke(cli.main, ["contact-sheet", str(tmp_path)])
    assert again.exit_code == 2
    assert "exists already" in again.output
    # Its own pages are no figures of the folder.
    assert CliRunner().invoke(cli.main, ["contact-sheet", str(tmp_path), "--force"]).output == first.output


def test_pages_of_an_earlier_sheet_do_not_stay(tmp_path: Path) -> None:
    draw(tmp_path, *(f"{k:02}" for k in range(30)), width=90)
    assert len(make_contact_sheet(tmp_path)) > 3
    for k in range(1, 30):
        (tmp_path / f"{k:02}.png").unlink()
    assert len(make_contact_sheet(tmp_path, force=True)) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00.png", "contact_sheet.pdf", "contact_sheet_1.png"]


@pytest.mark.parametrize("content", [b"no image", b"\x89PNG\r\n\x1a\n damaged"])
def test_a_damaged_image_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(ValueError, match="bad cannot be read as a PNG image"):
        make_contact_sheet(tmp_path)


def test_a_truncated_image_is_named(tmp_path: Path) -> None:
    draw(tmp_path, "cut", width=900, height=900)
    whole = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="cut cannot be read as a PNG image"):
        make_contact_sheet(tmp_path)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no PNG image"):
        make_contact_sheet(tmp_path)
    with pytest.raises(ValueError, match="no image for a contact sheet"):
        plot_contact_sheet({})
