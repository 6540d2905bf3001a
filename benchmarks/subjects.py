"""The backbones that are there already: a published cell, a genotype file, a weights file or a timm model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.suite import BackboneEntry
from benchmarks.tasks import Subject
from benchmarks.yamlfile import Document, Location
from nas.errors import NaswildError
from nas.genotype import Genotype


@dataclass(frozen=True)
class Source:
    """A backbone before any training of ours: what it is called, and the content that identifies it in keys."""

    subject: Subject
    label: str  # unique within a suite: the name, and the seed of the search where there is one
    identity: Mapping[str, Any]
    search: str | None = None  # key of the job that finds it
    cell: str = "final"  # which cell of that search


def given_source(entry: BackboneEntry, document: Document, where: Location) -> Source:
    """The source that ``entry``, found at ``where`` in the suite's ``document``, points at.

    Raises:
        NaswildError: an unknown name (with near matches), a missing or an invalid file; with the line.
    """
    text = getattr(entry, entry.source)
    if entry.source in ("timm", "torchreid"):
        subject = Subject(entry.name or text, entry.source, source=f"{entry.source}:{text}")
        return Source(subject, subject.name, {entry.source: text})
    if entry.source == "weights":
        path = _beside(document, text)
        if not path.is_file():
            raise document.error(where, f"weights file {path} does not exist")
        subject = Subject(entry.name or path.stem, "file", source=str(path))
        return Source(subject, subject.name, {"weights": hashlib.sha256(path.read_bytes()).hexdigest()[:12]})
    try:
        return _cell(entry, text, document)
    except NaswildError as error:
        raise document.error(where, str(error)) from error


def _cell(entry: BackboneEntry, text: str, document: Document) -> Source:
    from nas import zoo

    if entry.source == "zoo" and text in zoo.names():
        genotype = Genotype.load(text)
        subject = Subject(entry.name or text, "published", source=text, genotype=genotype.to_dict())
        return Source(subject, subject.name, {"genotype": genotype.digest})
    from backbones.source import BackboneSource, no_such_backbone

    if entry.source == "zoo":
        raise no_such_backbone(text)
    found = BackboneSource("genotype", text)
    source = text if found.is_text else str(_beside(document, text))
    genotype = Genotype.load(source) if found.is_text else Genotype.from_file(source)
    subject = Subject(entry.name or found.name, "file", source=source, genotype=genotype.to_dict())
    return Source(subject, subject.name, {"genotype": genotype.digest})


def _beside(document: Document, text: str) -> Path:
    """A path written in a suite file, relative to that file."""
    path = Path(text).expanduser()
    return path if path.is_absolute() else document.path.parent / path
