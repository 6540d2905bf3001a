"""Makes a COCO-format data set of real handwritten digits on real photographs, small enough for minutes on a laptop.

scikit-learn's packaged digits are scaled, turned, tinted and pasted on crops of packaged photographs. The validation
part uses the digits' test split and photographs of its own. The boxes come in COCO's three area ranges.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from detection.data import CocoData
from detection.paste import Box, crop_photograph, paste_digit
from detection.photographs import load_photographs
from nas.files import atomic_write
from nas.proxies import load_proxy
from nas.seeding import derive_seed

FORMAT = 2  # to be raised whenever the same arguments give other pixels

OBJECTS = (2, 4)  # digits per image, both included
JPEG_QUALITY = 95


def make_digits_coco(
    out: str | Path, *, seed: int = 0, train: int = 960, val: int = 64, image_size: int = 192
) -> CocoData:
    """Write ``train`` and ``val`` images of ``image_size`` squared pixels below ``out`` and return the data set.

    The same arguments give the same pixels. A set that is already there, made with these arguments, is left as it is.
    """
    out = Path(out)
    for part, count in (("train", train), ("val", val)):
        recipe = {"format": FORMAT, "seed": seed, "part": part, "images": count, "image_size": image_size}
        annotations = out / "annotations" / f"instances_{part}.json"
        if not _is_made_by(annotations, recipe):
            content = _compose_part(out / part, recipe)
            atomic_write(annotations, json.dumps(content).encode())  # last: it marks the part as whole
    return CocoData.open(out, name="digits-coco")


def _is_made_by(annotations: Path, recipe: dict[str, Any]) -> bool:
    if not annotations.exists():
        return False
    return json.loads(annotations.read_bytes())["info"].get("recipe") == recipe


def _compose_part(folder: Path, recipe: dict[str, Any]) -> dict[str, Any]:
    """Draw and write the images of one part; returns its annotations with the version hash of the pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    part: Literal["train", "val"] = recipe["part"]
    digits, labels, classes = _digits(part)
    photographs = list(load_photographs(part).items())
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    digest = hashlib.blake2b(digest_size=6)
    for index in range(recipe["images"]):
        rng = np.random.default_rng(derive_seed(recipe["seed"], "digits-coco", part, index))
        source, photograph = photographs[index % len(photographs)]
        canvas = crop_photograph(photograph, recipe["image_size"], rng)
        boxes: list[Box] = []
        for _ in range(rng.integers(OBJECTS[0], OBJECTS[1] + 1)):
            chosen = int(rng.integers(len(digits)))
            box = paste_digit(canvas, digits[chosen], boxes, rng)
            if box is not None:
                boxes.append(box)
                annotations.append(_annotation(len(annotations) + 1, index + 1, int(labels[chosen]), box, chosen))
        pixels = np.clip(np.rint(canvas), 0, 255).astype(np.uint8)
        digest.update(pixels.tobytes())
        name = f"{index + 1:06d}.jpg"
        Image.fromarray(pixels).save(folder / name, quality=JPEG_QUALITY)
        size = {"width": recipe["image_size"], "height": recipe["image_size"]}
        images.append({"id": index + 1, "file_name": name, **size, "photograph": source})
    info = {
        "description": "handwritten digits (scikit-learn) on photographs (scikit-image, scikit-learn)",
        "recipe": recipe,
        "version": digest.hexdigest(),
    }
    categories = [{"id": i + 1, "name": name, "supercategory": "digit"} for i, name in enumerate(classes)]
    return {"info": info, "images": images, "annotations": annotations, "categories": categories}


def _digits(part: str) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Ink of the digits of a part, (N, 8, 8) in 0..1, cut from the proxy's own train and test split; their labels."""
    proxy = load_proxy("digits", image_size=8)
    images = proxy.train if part == "train" else proxy.test
    pixels = images.batch(torch.arange(len(images)))
    return pixels[:, 0].numpy() / 255.0, images.labels.numpy(), proxy.classes


def _annotation(identity: int, image: int, label: int, box: Box, digit: int) -> dict[str, Any]:
    x1, y1, x2, y2 = box
    width, height = x2 - x1, y2 - y1
    return {
        "id": identity,
        "image_id": image,
        "category_id": label + 1,
        "bbox": [float(x1), float(y1), float(width), float(height)],
        "area": float(width * height),
        "iscrowd": 0,
        "digit": digit,
    }
