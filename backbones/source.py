"""What names a backbone, read in one place: a cell, a genotype, a weights file, a network of timm or torchreid.

====================================  =========================================================
text                                  kind
====================================  =========================================================
``torchreid:osnet_x1_0``              torchreid: for re-identification only
``mine.safetensors``                  weights: a file of this package
``timm:resnet50``                     timm
``pdarts_cifar10``                    zoo: a published cell
``resnet50``                          timm: a name that it knows and the zoo does not
``Genotype(normal=...)``, ``{...}``   genotype, as a text
``cells/mine.json``                   genotype, in a file (also .yaml, .txt, .py)
====================================  =========================================================
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import timm

from backbones import baselines  # noqa: F401  (names that it adds to timm's are sources too)
from backbones.metadata import CellArchitecture, TimmArchitecture
from backbones.timm_backbone import is_timm_name, names_weights
from backbones.weights import is_weights_file, read_metadata
from nas import zoo
from nas.errors import NaswildError, UnknownName, unknown
from nas.genotype import Genotype

Kind = Literal["zoo", "genotype", "weights", "timm", "torchreid"]
TIMM, TORCHREID = "timm:", "torchreid:"
_GENOTYPE_FILES = (".json", ".yaml", ".yml", ".txt", ".py")


@dataclass(frozen=True)
class BackboneSource:
    """Where a backbone comes from: ``value`` is a name without its prefix, a path, or a genotype in any form."""

    kind: Kind
    value: Any

    @property
    def is_text(self) -> bool:
        """Whether it is a genotype written out, as text or as a value, and no file."""
        return self.kind == "genotype" and (not isinstance(self.value, str) or _is_genotype_text(self.value))

    @property
    def is_file(self) -> bool:
        """Whether it is read from a file of this package: weights, or a genotype that is not written out."""
        return self.kind == "weights" or (self.kind == "genotype" and not self.is_text)

    @property
    def text(self) -> str:
        """A text that :func:`parse_source` reads as this source again."""
        if self.kind == "timm" and names_weights(self.value):
            return str(self.value)
        if self.kind in ("timm", "torchreid"):
            return f"{self.kind}:{self.value}"
        return self.value if isinstance(self.value, str) else json.dumps(Genotype.load(self.value).to_dict())

    @property
    def name(self) -> str:
        """A few words on one line for tables and headers."""
        if self.is_text:
            return f"genotype-{Genotype.load(self.value).digest}"
        return Path(self.value).stem if self.kind in ("weights", "genotype") else str(self.value)

    def network(self) -> BackboneSource:
        """The network alone: of a weights file its cells or its timm model, without the weights and their size."""
        if self.kind != "weights":
            return self.pyramid()
        architecture = read_metadata(self.value).architecture
        if isinstance(architecture, CellArchitecture):
            return BackboneSource("genotype", json.dumps(architecture.genotype))
        if not isinstance(architecture, TimmArchitecture):
            raise NaswildError(f"{self.value} holds a network for re-identification, which has no name as a backbone")
        if architecture.kwargs:
            raise NaswildError(
                f"{self.value} holds {architecture.name} with {architecture.kwargs}, for which there is no name"
            )
        return BackboneSource("timm", architecture.name)

    def pyramid(self) -> BackboneSource:
        """Itself, if it has levels at several strides; raises :class:`NaswildError` for torchreid's networks."""
        if self.kind == "torchreid":
            raise NaswildError(
                f"{self.text}: torchreid's networks have no levels at several strides and no weights file; they serve "
                f"re-identification only (naswild evaluate {self.text} --task reid, or a suite's task reid)"
            )
        return self


def parse_source(source: Any) -> BackboneSource:
    """The source that ``source`` names: text, path, genotype, mapping, or a :class:`BackboneSource` itself.

    Files are told by their form and need not exist. Raises :class:`nas.errors.UnknownName`, with near matches, for a
    word that names nothing.
    """
    if isinstance(source, BackboneSource):
        return source
    if isinstance(source, Genotype | Mapping):
        return BackboneSource("genotype", source)
    text = os.fspath(source)
    if text.startswith(TORCHREID):
        return BackboneSource("torchreid", text.removeprefix(TORCHREID))
    if is_weights_file(text):
        return BackboneSource("weights", text)
    if text in zoo.names():
        return BackboneSource("zoo", text)
    if is_timm_name(text):
        return BackboneSource("timm", text.removeprefix(TIMM))
    if _is_genotype_text(text) or text.endswith(_GENOTYPE_FILES) or "/" in text or Path(text).is_file():
        return BackboneSource("genotype", text)
    raise no_such_backbone(text)


def no_such_backbone(name: str) -> UnknownName:
    """The error for a name that neither the zoo nor timm has."""
    return unknown("backbone", name, [*zoo.names(), *timm.list_models()])


def _is_genotype_text(text: str) -> bool:
    return "Genotype(" in text or text.lstrip().startswith("{")
