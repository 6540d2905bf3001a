"""What a weights file says about itself: its network, its classes, its normalisation, its origin."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any, Literal

import timm
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from torch import nn

from backbones.pyramid import IMAGENET_MEAN, IMAGENET_STD, agreed
from nas.errors import NaswildError, unknown
from nas.genotype import Genotype
from nas.network import CellBody, CellNetwork, Stem

FORMAT = 2  # 1: classification networks; 2: with the head of another task
# Arguments of timm.create_model that would fetch or unpickle something, or change what kind of module comes out.
_NOT_FROM_A_FILE = ("pretrained", "checkpoint", "cache_dir", "feature", "out_indices", "num_classes", "scriptable")


class CellArchitecture(BaseModel):
    """A network of cells: :class:`nas.network.CellBody` and a classifier."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["cell"] = "cell"
    genotype: dict[str, Any]
    stem: Stem
    channels: int = Field(ge=2, le=4096)
    cells: int = Field(ge=3, le=256)
    in_channels: int = Field(default=3, ge=1, le=256)

    @field_validator("genotype")
    @classmethod
    def _is_a_genotype(cls, value: dict[str, Any]) -> dict[str, Any]:
        return Genotype.from_dict(value).to_dict()

    @classmethod
    def of(cls, body: CellBody) -> CellArchitecture:
        """The architecture of a body that is built."""
        return cls(
            genotype=body.genotype.to_dict(),
            stem=body.stem,
            channels=body.channels,
            cells=body.total_cells,
            in_channels=body.in_channels,
        )

    @property
    def shape(self) -> dict[str, Any]:
        """Genotype, stem and size as arguments of :class:`CellBody` and :class:`CellBackbone`."""
        return self.model_dump(exclude={"kind", "genotype"}) | {"genotype": Genotype.from_dict(self.genotype)}

    def build(self, num_classes: int, auxiliary: bool = False) -> nn.Module:
        """The classification network, with fresh weights."""
        return CellNetwork(CellBody(**self.shape), num_classes, auxiliary)


class TimmArchitecture(BaseModel):
    """A model of timm's registry, with the plain arguments it was made with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["timm"] = "timm"
    name: str
    kwargs: dict[str, Any] = {}

    @field_validator("name")
    @classmethod
    def _is_registered(cls, value: str) -> str:
        if not timm.is_model(value) or any(character in value for character in ":/\\"):
            raise unknown("timm model", value, timm.list_models())
        return value

    @field_validator("kwargs")
    @classmethod
    def _is_plain(cls, value: dict[str, Any]) -> dict[str, Any]:
        for key, item in value.items():
            if key.startswith(_NOT_FROM_A_FILE):
                raise ValueError(f"the argument {key!r} may not come from a weights file")
            if not all(part is None or isinstance(part, bool | int | float | str) for part in _parts(item)):
                raise ValueError(f"the argument {key!r} must be a number, a string or a list of them")
        return value

    def options(self, given: dict[str, Any], file: object) -> dict[str, Any]:
        """Arguments of a backbone: those of the ``file``, with ``given`` over them where they do not contradict it."""
        own = dict(self.kwargs)
        fixed = {"in_channels": own.pop("in_chans")} if "in_chans" in own else {}
        return own | agreed(fixed, given, file)

    def build(self, num_classes: int, auxiliary: bool = False) -> nn.Module:  # noqa: ARG002 (timm models have no such head)
        """The classification network, with fresh weights; nothing is downloaded."""
        return timm.create_model(self.name, pretrained=False, num_classes=num_classes, **self.kwargs)


class TorchreidArchitecture(BaseModel):
    """A network of torchreid's registry up to its last feature map: a backbone for re-identification alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["torchreid"] = "torchreid"
    name: str

    def build(self, num_classes: int, auxiliary: bool = False) -> nn.Module:  # noqa: ARG002
        """Raise :class:`NaswildError`: it is not a classification network."""
        raise NaswildError(f"torchreid's {self.name} is a backbone for re-identification, no classification network")


class PcbHead(BaseModel):
    """The head of a re-identification network (:class:`reid.pcb.PCB`) and the set that it was trained on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["pcb"] = "pcb"
    parts: int = Field(ge=1, le=256)
    reduced_dim: int = Field(ge=1, le=65536)
    descriptor: Literal["before_reduction", "after_reduction"]
    shared_reduction: bool
    normalise_stripes: bool
    last_stride: Literal[1, 2]
    trained_on: str


def _parts(item: Any) -> list[Any] | tuple[Any, ...]:
    return item if isinstance(item, list | tuple) else [item]


def _own_version() -> str:
    try:
        return version("naswild")
    except PackageNotFoundError:  # used from a checkout that was never installed
        return "not installed"


class WeightsMetadata(BaseModel):
    """The header of a weights file.

    ``mean`` and ``std`` are on the scale 0 to 1, ``input_size`` is (channels, height, width), ``recipe`` holds the
    hyper-parameters of the training and ``score`` what it reached (fractions, e.g. ``{"top1": 0.974}``). With a
    ``head`` the network is not a classifier of ``architecture`` but that head on its backbone.
    """

    model_config = ConfigDict(frozen=True)

    format: int = 1
    architecture: Annotated[CellArchitecture | TimmArchitecture | TorchreidArchitecture, Field(discriminator="kind")]
    head: PcbHead | None = None
    num_classes: int = Field(ge=0, le=10**6)
    classes: tuple[str, ...] = ()
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    input_size: tuple[int, int, int] = (3, 224, 224)
    recipe: dict[str, Any] = {}
    score: dict[str, float] = {}
    naswild: str = Field(default_factory=_own_version)

    @model_validator(mode="after")
    def _counts_agree(self) -> WeightsMetadata:
        if self.classes and len(self.classes) != self.num_classes:
            raise NaswildError(f"{len(self.classes)} names for {self.num_classes} classes: name each class once")
        channels = self.input_size[0]
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != channels:
                raise NaswildError(f"{name} has {len(values)} numbers for {channels} input channels: give one for each")
        if not all(value > 0 for value in self.std):
            raise NaswildError(f"std must be positive, not {self.std}")
        return self
