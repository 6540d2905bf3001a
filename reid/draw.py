"""Draw re-identification sets in the exact layouts and file names of Market-1501, DukeMTMC-reID and MSMT17.

Every picture is a pure function of the seed and its own name, so a set is the same on every machine.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

from nas.errors import unknown
from nas.files import atomic_write
from nas.seeding import derive_seed
from reid.figures import draw_identity
from reid.scenes import draw_camera, empty_picture, person_picture

DRAWING = 1  # raised whenever the same seed would give other pictures
STAMP = "drawn.json"


@dataclass(frozen=True)
class SetSize:
    """Numbers of identities and images of a set; ``distractors`` and ``junk`` are further gallery images."""

    train_identities: int
    train: int
    test_identities: int
    query: int
    gallery: int
    distractors: int = 0
    junk: int = 0
    val: int = 0


@dataclass(frozen=True)
class Picture:
    """One file to draw: where it goes, who is on it (None: nobody), the camera, and MSMT17's list that names it."""

    path: str
    identity: str | None
    camera: int
    listing: str = ""
    label: int = -1


# "market" has as many files as the real Market-1501: 19,732 in its test folder, 2,798 distractors and 3,819 junk.
SIZES: dict[str, dict[str, SetSize]] = {
    "mini": {
        "market1501": SetSize(80, 448, 20, 80, 100, distractors=20, junk=12),
        "dukemtmcreid": SetSize(80, 448, 20, 80, 100, distractors=20),
        "msmt17": SetSize(80, 448, 20, 80, 120, val=32),
    },
    "small": {
        "market1501": SetSize(200, 1600, 60, 240, 600, distractors=120, junk=60),
        "dukemtmcreid": SetSize(200, 1600, 60, 240, 600, distractors=120),
        "msmt17": SetSize(200, 1600, 60, 240, 720, val=120),
    },
    "market": {"market1501": SetSize(751, 12936, 750, 3368, 13115, distractors=2798, junk=3819)},
}


def make_reid_sets(out: Path, *, seed: int, sizes: str | Mapping[str, SetSize] = "mini") -> dict[str, Path]:
    """Draw re-identification sets below ``out``, where torchreid looks for them, and return their folders.

    ``sizes`` is a name of :data:`SIZES`, or the size of each set wanted. An existing set with the same seed,
    size and drawing is kept; an unfinished one, or one of another seed, is redrawn. Raises
    :class:`nas.errors.UnknownName` for a set or a size that does not exist.
    """
    if isinstance(sizes, str):
        if sizes not in SIZES:
            raise unknown("size of the re-identification sets", sizes, SIZES)
        sizes = SIZES[sizes]
    for name in sizes:
        if name not in LAYOUTS:
            raise unknown("re-identification set", name, LAYOUTS)
    return {name: _draw_set(Path(out), name, seed, size) for name, size in sizes.items()}


def _draw_set(out: Path, name: str, seed: int, size: SetSize) -> Path:
    folder, layout, cameras, frame = LAYOUTS[name]
    home = out / folder
    stamp = {"drawing": DRAWING, "seed": seed, "set": name, **asdict(size)}
    if (home / STAMP).exists() and json.loads((home / STAMP).read_text()) == stamp:
        return home
    shutil.rmtree(home, ignore_errors=True)
    pictures = list(layout(Random(derive_seed(seed, name, "layout")), size, cameras))
    for picture in pictures:
        _draw_picture(home, picture, (seed, name), frame)
    for listing in sorted({picture.listing for picture in pictures} - {""}):
        lines = [
            f"{picture.path.split('/', 2)[2]} {picture.label}\n" for picture in pictures if picture.listing == listing
        ]
        (home / pictures[0].path.split("/")[0] / listing).write_text("".join(lines))
    atomic_write(home / STAMP, json.dumps(stamp, indent=1).encode())  # last: it says that the set is whole
    return home


def _draw_picture(
    home: Path, picture: Picture, place: tuple[int, str], frame: Callable[[Random], tuple[int, int]]
) -> None:
    rng = Random(derive_seed(*place, "picture", picture.path))
    camera = draw_camera(Random(derive_seed(*place, "camera", picture.camera)))
    size = frame(rng)
    if picture.identity is None:
        image = empty_picture(camera, rng, size)
    else:
        person = draw_identity(Random(derive_seed(*place, "identity", picture.identity)))
        image = person_picture(person, camera, rng, size)
    target = home / picture.path
    target.parent.mkdir(parents=True, exist_ok=True)
    image.save(target, quality=camera.quality)


def _shares(images: int, identities: int) -> list[int]:
    """``images`` dealt to ``identities`` as evenly as possible."""
    return [images // identities + (index < images % identities) for index in range(identities)]


def _seen_by(rng: Random, cameras: int, queries: int = 0) -> list[int]:
    """The cameras (from 1) that see one person: two to five of them, more for more queries, in random order."""
    return rng.sample(range(1, cameras + 1), min(cameras, max(queries, rng.randint(2, 5))))


def _split(rng: Random, size: SetSize, cameras: int) -> Iterator[tuple[str, int, int]]:
    """(part, person, camera) of every picture with a person; persons count from 0, the training persons first.

    A person's gallery images go round the cameras, so that every query has a match under another camera.
    """
    for person, count in enumerate(_shares(size.train + size.val, size.train_identities)):
        seen = _seen_by(rng, cameras)
        for number in range(count):
            yield "train", person, seen[number % len(seen)]
    queries, galleries = _shares(size.query, size.test_identities), _shares(size.gallery, size.test_identities)
    for index, (query, gallery) in enumerate(zip(queries, galleries, strict=True)):
        person, seen = size.train_identities + index, _seen_by(rng, cameras, query)
        for part, count in (("query", query), ("gallery", gallery)):
            for number in range(count):
                yield part, person, seen[number % len(seen)]


def _market(rng: Random, size: SetSize, cameras: int) -> Iterator[Picture]:
    """0002_c1s1_000451_03.jpg: identity, camera, sequence, frame, box; -1 is junk, 0000 a distractor."""
    folders = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
    numbers = rng.sample(range(1, 1502), size.train_identities + size.test_identities)
    pictures = list(_split(rng, size, cameras))
    nobody = [("0000", f"passer-by {index}") for index in range(size.distractors)] + [("-1", None)] * size.junk
    frames = iter(rng.sample(range(100, 140_000), len(pictures) + len(nobody)))

    def path(part: str, number: str, camera: int, box: int) -> str:
        name = f"{number}_c{camera}s{rng.randint(1, 6)}_{next(frames):06d}_{box:02d}.jpg"
        return f"Market-1501-v15.09.15/{folders[part]}/{name}"

    for part, person, camera in pictures:
        box = 0 if part == "query" else rng.randint(1, 9)
        yield Picture(path(part, f"{numbers[person]:04d}", camera, box), str(person), camera)
    for number, identity in nobody:
        camera = rng.randint(1, cameras)
        shown = identity if rng.random() < 0.5 else None  # a distractor is a passer-by or a false detection
        yield Picture(path("gallery", number, camera, rng.randint(1, 9)), shown, camera)


def _duke(rng: Random, size: SetSize, cameras: int) -> Iterator[Picture]:
    """0001_c2_f0046182.jpg: identity, camera, frame; a distractor has an identity of its own, seen by one camera."""
    folders = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
    people = size.train_identities + size.test_identities
    numbers = rng.sample(range(1, 7141), people + size.distractors)
    pictures = list(_split(rng, size, cameras))
    pictures += [("gallery", people + index, rng.randint(1, cameras)) for index in range(size.distractors)]
    for (part, person, camera), frame in zip(pictures, rng.sample(range(40_000, 340_000), len(pictures)), strict=True):
        name = f"{numbers[person]:04d}_c{camera}_f{frame:07d}.jpg"
        yield Picture(f"DukeMTMC-reID/{folders[part]}/{name}", str(person), camera)


def _msmt(rng: Random, size: SetSize, cameras: int) -> Iterator[Picture]:
    """0000/0000_002_01_0303morning_0036_0.jpg: identity (from 0 in both halves), image, camera, time, frame, box."""
    counts: dict[int, int] = {}
    pictures = list(_split(rng, size, cameras))
    training = [index for index, (part, _, _) in enumerate(pictures) if part == "train"]
    held_out = set(rng.sample(training, size.val))
    for index, (part, person, camera) in enumerate(pictures):
        label = person if part == "train" else person - size.train_identities
        number = counts[person] = counts.get(person, -1) + 1
        when = f"{rng.choice(('0113', '0302', '0303'))}{rng.choice(('morning', 'noon', 'afternoon'))}"
        name = f"{label:04d}_{number:03d}_{camera:02d}_{when}_{rng.randrange(10_000):04d}_{rng.randint(0, 2)}.jpg"
        half = "train" if part == "train" else "test"
        listing = f"list_{'val' if index in held_out else part}.txt"
        yield Picture(f"MSMT17_V1/{half}/{label:04d}/{name}", str(person), camera, listing, label)


Layout = Callable[[Random, SetSize, int], Iterator[Picture]]

# The folder torchreid expects, the layout, the number of cameras of the real set, and the size of a picture.
LAYOUTS: dict[str, tuple[str, Layout, int, Callable[[Random], tuple[int, int]]]] = {
    "market1501": ("market1501", _market, 6, lambda _: (64, 128)),
    "dukemtmcreid": ("dukemtmc-reid", _duke, 8, lambda rng: (rng.randint(58, 76), rng.randint(138, 170))),
    "msmt17": ("msmt17", _msmt, 15, lambda rng: (rng.randint(54, 80), rng.randint(120, 190))),
}
