"""A classification network of cells with everything that timm expects of a model.

Annotations are objects here, not strings: TorchScript reads them off a traced network.
"""

from itertools import pairwise
from typing import Any

import torch
from timm.layers import create_classifier
from timm.models._features import feature_take_indices
from timm.models._features_fx import register_notrace_function, register_notrace_module
from torch import Tensor, fx, nn
from torch.nn import functional

from nas.genotype import Genotype
from nas.network import CellBody, Stem
from nas.operations import FactorizedReduce, drop_path

# What symbolic tracing cannot follow: a padding that depends on the input's size, and random numbers.
register_notrace_module(FactorizedReduce)
register_notrace_function(drop_path)


class _Tracer(fx.Tracer):
    """Symbolic tracing as timm does it for the modules of this network."""

    def __init__(self) -> None:
        super().__init__(autowrap_functions=(drop_path,))

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, FactorizedReduce) or super().is_leaf_module(m, module_qualified_name)


class TimmCellNetwork(nn.Module):
    """Body, global pooling, dropout, linear classifier; the same tensor names as :class:`nas.network.CellNetwork`.

    Args:
        genotype: Anything that :meth:`nas.Genotype.load` takes.
        stem, channels, cells: As for :class:`nas.network.CellBody`; the paper's ImageNet network by default.
        num_classes: 0 leaves the classifier out: ``forward`` returns pooled features.
        in_chans: Channels of the input.
        global_pool: ``avg``, ``max``, ``avgmax``, ``catavgmax`` or ``""`` (none).
        drop_rate: Dropout before the classifier.
        drop_path_rate: Probability with which a path of a cell is dropped in training.
    """

    pretrained_cfg: dict[str, Any]  # timm sets it

    def __init__(
        self,
        genotype: Any,
        stem: Stem = "imagenet",
        channels: int = 48,
        cells: int = 14,
        num_classes: int = 1000,
        in_chans: int = 3,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.body = CellBody(Genotype.load(genotype), stem, channels, cells, in_channels=in_chans)
        self.body.set_drop_path(drop_path_rate)
        self._arguments: dict[str, Any] = {}
        self.in_chans = in_chans
        self.drop_rate = drop_rate
        self.num_features = self.head_hidden_size = self.body.levels[-1].channels
        self.feature_info = [info | {"module": f"body.{info['module']}"} for info in self.body.feature_info]
        self._pool_type = global_pool
        self.reset_classifier(num_classes)

    @property
    def shape(self) -> dict[str, Any]:
        """Genotype, stem and size as plain values: what rebuilds the network."""
        body = self.body
        size = {"stem": body.stem, "channels": body.channels, "cells": body.total_cells}
        return {"genotype": body.genotype.to_dict(), **size}

    @property
    def _model_args(self) -> dict[str, Any]:
        """What timm (since 1.0.31) writes into the config of a saved model: plain values, whatever it was made with."""
        return self._arguments | self.shape

    @_model_args.setter
    def _model_args(self, arguments: dict[str, Any]) -> None:
        self._arguments = dict(arguments)

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A fresh classifier for ``num_classes`` classes, or none for 0; ``global_pool`` stays unless it is given."""
        self.num_classes = num_classes
        self._pool_type = self._pool_type if global_pool is None else global_pool
        self.global_pool, self.classifier = create_classifier(
            self.num_features, num_classes, pool_type=self._pool_type, use_conv=not self._pool_type
        )

    def get_classifier(self) -> nn.Module:
        """The last linear layer (an identity without classes)."""
        return self.classifier

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Parameter groups for layer-wise learning rates: stem, cells (``coarse``: stages of cells), classifier."""
        stem = r"^body\.stem"
        if not coarse:
            return {"stem": stem, "blocks": r"^body\.cells\.(\d+)"}
        ends = [-1, *(int(v.module.removeprefix("cells.")) for v in self.body.levels if v.module != "stem0")]
        stages = ["|".join(str(cell) for cell in range(a + 1, b + 1)) for a, b in pairwise(ends)]
        return {"stem": stem, "blocks": [(rf"^body\.cells\.(?:{stage})\.", (i,)) for i, stage in enumerate(stages)]}

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute the cells in the backward pass; batch normalisation's running statistics stay right."""
        self.body.checkpointing = enable

    def forward_features(self, x: Tensor) -> Tensor:
        """(N, in_chans, H, W) -> the last level (N, num_features, H / 32, W / 32)."""
        return self.body(x)[-1]

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """The last level -> logits (N, num_classes), or pooled features (N, num_features) with ``pre_logits``."""
        x = functional.dropout(self.global_pool(x), self.drop_rate, self.training)
        return x if pre_logits else self.classifier(x)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_chans, H, W) -> logits (N, num_classes)."""
        return self.forward_head(self.forward_features(x))

    def __prepare_scriptable__(self) -> fx.GraphModule:
        """What ``torch.jit.script`` compiles in the place of this network, whose cells TorchScript cannot read.

        It is the graph of the network in its present mode: dropout and dropped paths are there in training only.
        """
        with torch.no_grad():  # else a network that recomputes its cells would trace that
            graph = _Tracer().trace(self)
        for node in graph.nodes:
            node.type = None  # annotations that are strings here; TorchScript takes everything for a tensor
        return fx.GraphModule(self, graph)

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,  # noqa: ARG002 (there is no final norm)
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """The levels ``indices`` (all by default; an integer N means the last N), and the last level before them.

        ``stop_early`` computes no further than the highest of them; ``intermediates_only`` returns only the list.
        """
        if output_fmt != "NCHW":
            raise ValueError(f"output_fmt must be 'NCHW', not {output_fmt!r}")
        taken, last = feature_take_indices(len(self.feature_info), indices)
        pyramid, _ = self.body.run(x, depth=last if stop_early or intermediates_only else None)
        intermediates = [pyramid[index] for index in taken]
        return intermediates if intermediates_only else (pyramid[-1], intermediates)

    def prune_intermediate_layers(
        self,
        indices: int | list[int] = 1,
        prune_norm: bool = False,  # noqa: ARG002 (there is no final norm)
        prune_head: bool = True,
    ) -> list[int]:
        """Remove the cells that only levels after ``indices`` need, and the classifier; returns the level numbers."""
        taken, last = feature_take_indices(len(self.feature_info), indices)
        self.body.truncate(last)
        if prune_head:
            self.reset_classifier(0, "")
        return taken
