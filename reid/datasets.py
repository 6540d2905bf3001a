"""Market-1501, DukeMTMC-reID and MSMT17 through torchreid's own classes, made safe.

torchreid downloads what it does not find, takes files in the order of the file system (so that the labels differ
between machines), matches its name pattern anywhere in the path, and takes MSMT17's version 1 without a word where both
are there. Here the layout is checked first, nothing is downloaded, and paths and labels are sorted.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from backbones.torchreid_import import load_torchreid
from nas.errors import NaswildError, unknown


class Person(NamedTuple):
    """One image: its file, the identity (training: a label from 0), and the camera (from 0)."""

    path: str
    identity: int
    camera: int


@dataclass(frozen=True)
class ReidData:
    """A set as it is used: ``title`` names version and training part, ``notes`` compare its size with the real one."""

    name: str
    title: str
    train: tuple[Person, ...]
    query: tuple[Person, ...]
    gallery: tuple[Person, ...]
    version: str
    notes: tuple[str, ...] = ()
    whole: bool = True  # whether it has as many images as the published set

    @property
    def names(self) -> tuple[str, ...]:
        """The training identities by label, as the names of their files begin."""
        named = {person.identity: re.split(r"[_.]", Path(person.path).name)[0] for person in self.train}
        return tuple(named[label] for label in sorted(named))

    @property
    def identities(self) -> int:
        """How many identities the training images show."""
        return len({person.identity for person in self.train})


@dataclass(frozen=True)
class Layout:
    """Where torchreid looks for a set, what must be there, how its files are named, and how many the real set has."""

    torchreid_class: str
    folder: str
    image_folders: tuple[str, ...]
    pattern: str
    published: tuple[int, int, int]
    lists: tuple[str, ...] = ()
    remark: str = ""
    highest: int = 9999  # the largest identity that torchreid takes


_FOLDERS = ("bounding_box_train", "query", "bounding_box_test")
_LISTS = ("list_train.txt", "list_val.txt", "list_query.txt", "list_gallery.txt")
_MSMT_LINE = r"\d{4}/\d{4}_\d{3}_(0[1-9]|1[0-5])_[^ ]+\.jpg \d+"

LAYOUTS = {
    "market1501": Layout(
        "Market1501",
        "market1501/Market-1501-v15.09.15",
        _FOLDERS,
        r"(-1|\d{4})_c[1-6].*\.jpg",
        (12936, 3368, 15913),
        highest=1501,
    ),
    "dukemtmcreid": Layout(
        "DukeMTMCreID",
        "dukemtmc-reid/DukeMTMC-reID",
        _FOLDERS,
        r"\d{4}_c[1-8].*\.jpg",
        (16522, 2228, 17661),
        remark="DukeMTMC-reID was withdrawn by its authors in 2019; it is read from a copy you have and never fetched",
    ),
    "msmt17": Layout("MSMT17", "msmt17", (), _MSMT_LINE, (30248, 11659, 82161), lists=_LISTS),
}
MSMT17_VERSIONS = {"MSMT17_V1": ("train", "test"), "MSMT17_V2": ("mask_train_v2", "mask_test_v2")}
MSMT17_VALIDATION = 2373
OTHER_IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


def load_reid_data(root: Path, dataset: str, train_on: Literal["train", "train+val"] = "train") -> ReidData:
    """Read the set ``dataset`` below ``root``, where torchreid expects it.

    ``train_on="train+val"`` adds MSMT17's validation list to the training images. (torchreid's ``combineall`` would add
    the test images, too.) Raises :class:`NaswildError` that says what is missing or misnamed, and where.
    """
    if dataset not in LAYOUTS:
        raise unknown("re-identification set", dataset, LAYOUTS)
    layout, root = LAYOUTS[dataset], Path(root).expanduser().resolve()
    home, title = _check(root, dataset, layout)
    source = _safe_class(layout.torchreid_class)(root=str(root), verbose=False)
    train = list(source.train)
    if dataset == "msmt17":
        title = f"{title} ({train_on})"
        train += source.process_dir(source.train_dir, source.list_val_path) if train_on == "train+val" else []
    parts = _labelled(train), _people(source.query), _people(source.gallery)
    for part, people in zip(("training", "query", "gallery"), parts, strict=True):
        if not people:
            raise NaswildError(f"{home} has no {part} images")
    note, whole = _compared(layout, parts, train_on)
    return ReidData(dataset, title, *parts, version=_version(home, parts), notes=(note,), whole=whole)


def _check(root: Path, dataset: str, layout: Layout) -> tuple[Path, str]:
    """The set's own folder and its title, once everything that torchreid takes for granted has been looked at."""
    home = root / layout.folder
    if dataset == "msmt17":
        home = _only_version(home)
    if not home.is_dir():
        raise NaswildError(
            f"no {dataset} at {home}. {_elsewhere(root, home, layout) or layout.remark or 'Put it there'}."
        )
    if escape(str(home)) != str(home) or re.search(r"[-\d]_c\d", str(home)):
        raise NaswildError(
            f"rename {home}: torchreid takes *, ?, [ and names like '1_c2' in a path for parts of its patterns"
        )
    for name in (*layout.image_folders, *layout.lists, *MSMT17_VERSIONS.get(home.name, ())):
        if not (home / name).exists():
            raise NaswildError(f"{home} lacks {name}; a whole copy of {home.name} has it")
    for folder in layout.image_folders:
        _check_images(home / folder, layout)
    for listing in layout.lists:
        _check_names(home / listing, (home / listing).read_text().splitlines(), layout.pattern)
    return home, home.name


def _only_version(home: Path) -> Path:
    found = [home / version for version in MSMT17_VERSIONS if (home / version).is_dir()]
    if len(found) > 1:
        raise NaswildError(f"{home} holds MSMT17_V1 and MSMT17_V2, which are different sets; keep one of them there")
    return found[0] if found else home / "MSMT17_V1"


def _check_names(where: Path, names: Iterable[str], pattern: str) -> None:
    wrong = sorted(name for name in names if not re.fullmatch(pattern, name))
    if wrong:
        raise NaswildError(f"{where}: {len(wrong)} entries do not have the form {pattern}, the first is {wrong[0]!r}")


def _check_images(folder: Path, layout: Layout) -> None:
    """A folder must hold images, all JPEG, with names and identities that torchreid takes."""
    names = sorted(entry.name for entry in os.scandir(folder) if entry.is_file())
    images = [name for name in names if name.endswith(".jpg")]
    others = [name for name in names if Path(name).suffix.lower() in OTHER_IMAGES and name not in images]
    if others:
        raise NaswildError(
            f"{folder} holds {len(others)} images that do not end in .jpg, the first is {others[0]!r}; torchreid reads "
            "no others: convert them"
        )
    if not images:
        raise NaswildError(f"{folder} has no images; restore it from a whole copy of the set")
    _check_names(folder, images, layout.pattern)
    beyond = [name for name in images if int(name.split("_")[0]) > layout.highest]
    if beyond:
        raise NaswildError(
            f"{folder}: {len(beyond)} images have an identity above {layout.highest}, the set's last one, the first is "
            f"{beyond[0]!r}; number your own people from 1"
        )


def _elsewhere(root: Path, home: Path, layout: Layout) -> str:
    """Where the set's folders lie instead, and how to move them; empty if they are not nearby."""
    wanted = layout.image_folders or ("list_train.txt",)
    above = [root, *(home.parents[i] for i in range(len(home.relative_to(root).parts) - 1)), root / home.name]
    for place in dict.fromkeys(above):
        if all((place / name).exists() for name in wanted):
            return f"{wanted[0]} is at {place / wanted[0]}: move what is in {place} to {home}"
    return ""


def _safe_class(name: str) -> Any:
    """torchreid's class ``name`` without its download, with sorted files."""
    original: Any = getattr(load_torchreid().data.datasets.image, name)

    class Safe(original):
        def download_dataset(self, dataset_dir: str, dataset_url: str | None) -> None:
            """Nothing is fetched; the layout has been checked already."""

        def process_dir(self, folder: str, list_path: str | None = None, **_: bool) -> list[Any]:
            """Sorted (path, identity, camera); identities keep the set's own numbers."""
            return sorted(super().process_dir(*filter(None, (folder, list_path))))

    return Safe


def _labelled(rows: Sequence[Any]) -> tuple[Person, ...]:
    """Training images with their identities counted from 0 in ascending order."""
    label = {identity: index for index, identity in enumerate(sorted({row[1] for row in rows}))}
    return _people((row[0], label[row[1]], row[2]) for row in sorted(rows, key=lambda row: row[0]))


def _people(rows: Iterable[Any]) -> tuple[Person, ...]:
    return tuple(Person(row[0], row[1], row[2]) for row in rows)


def _version(home: Path, parts: Sequence[Sequence[Person]]) -> str:
    """12 hex digits over the names and sizes of all files used; raises for a listed file that is missing."""
    digest = hashlib.blake2b(digest_size=6)
    for person in (person for part in parts for person in part):
        try:
            size = Path(person.path).stat().st_size
        except FileNotFoundError as error:
            raise NaswildError(f"{person.path} is listed but not there; {home.name} is not whole") from error
        digest.update(f"{os.path.relpath(person.path, home)} {size}\n".encode())
    return digest.hexdigest()


def _compared(layout: Layout, parts: Sequence[Sequence[Person]], train_on: str) -> tuple[str, bool]:
    """The set's size beside the published one, and whether they are equal; a set that we drew is smaller."""
    counts = tuple(len(part) for part in parts)
    train, query, gallery = layout.published
    published = (train + MSMT17_VALIDATION * (layout.lists != () and train_on == "train+val"), query, gallery)
    text = "{:,} training, {:,} query, {:,} gallery images".format(*counts)
    if counts == published:
        return f"{text}, as published", True
    return f"{text}; the published set has {' / '.join(f'{n:,}' for n in published)}", False


def labels_of(people: Sequence[Person]) -> tuple[np.ndarray, np.ndarray]:
    """Identities and cameras, two int64 arrays."""
    return np.array([person.identity for person in people]), np.array([person.camera for person in people])
