"""A sheet of sample images for every data set: what the domain gap between proxy and targets looks like (Figure 4)."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageOps

from benchmarks.report.pictures import SUFFIXES, Picture
from benchmarks.store import Result

SHOWN = 12  # images on a sheet
TILE = (96, 96)  # pixels


def samples(run_dir: Path, results: Sequence[Result]) -> Iterator[Picture]:
    """Sheets of the proxy that comes with scikit-learn and of all data that the run made for itself.

    A data set at a place of the user's own is not shown: its path is not part of a result.
    """
    if any(result.provenance.data == "digits" for result in results):
        yield Picture(_sheet(_digits()), "digits (proxy)", "digits")
    for folder in sorted((run_dir / "data").glob("*/*/")):
        found = _images(folder)
        if found:
            name = f"{folder.parent.name.rsplit('-', 1)[0]}, {folder.name}"
            yield Picture(_sheet([_open(path) for path in found]), name, name)


def _images(folder: Path) -> list[Path]:
    """Evenly spaced images of the first place below ``folder`` that holds enough of them."""
    places: dict[Path, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES:
            places.setdefault(path.parent, []).append(path)
    for paths in places.values():
        if len(paths) >= SHOWN:
            return paths[:: len(paths) // SHOWN][:SHOWN]
    return []


def _open(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def _digits() -> list[Image.Image]:
    from sklearn.datasets import load_digits

    images = load_digits().images[:SHOWN]
    return [Image.fromarray((image * (255 / 16)).astype("uint8")).convert("RGB") for image in images]


def _sheet(images: Sequence[Image.Image]) -> str:
    """The images side by side in rows of six, each fitted into a tile, as a data URL."""
    columns = 6
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * TILE[0], rows * TILE[1]), "white")
    for index, image in enumerate(images):
        tile = ImageOps.pad(image, (TILE[0] - 4, TILE[1] - 4), color="white")
        sheet.paste(tile, (index % columns * TILE[0] + 2, index // columns * TILE[1] + 2))
    buffer = BytesIO()
    sheet.save(buffer, format="JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
