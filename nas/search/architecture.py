"""The architecture weights (alphas) and the mixture they describe: softmax, or a sample of it (SNAS, GDAS)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from nas.search.space import CELLS, CONCAT, EDGES, OperationSets, edges_into

Sampling = Literal["softmax", "gumbel", "gumbel_hard"]


@dataclass(frozen=True)
class Mixture:
    """How strongly each operation takes part: ``weights[cell]`` is (14, k), ``edges[cell]`` (14,) if there are any.

    ``chosen[cell]`` says which one of an edge's operations has a weight at all, where that is so: the others are then
    not computed.
    """

    weights: dict[str, Tensor]
    edges: dict[str, Tensor] | None = None
    chosen: dict[str, list[int]] | None = None

    def detach(self) -> Mixture:
        """The same numbers without a gradient."""
        edges = None if self.edges is None else {cell: value.detach() for cell, value in self.edges.items()}
        return Mixture({cell: value.detach() for cell, value in self.weights.items()}, edges, self.chosen)


class ArchitectureWeights(nn.Module):
    """Alphas of both kinds of cell, (14, k) each, initialised with noise; betas (14,) with edge normalisation.

    Args:
        operations: The surviving operations; every edge has the same number k.
        std: Standard deviation of the initial noise.
        edge_normalisation: Also learn a weight for each edge, softmax over the inputs of a node (PC-DARTS).
    """

    def __init__(self, operations: OperationSets, std: float = 1e-3, edge_normalisation: bool = False) -> None:
        super().__init__()
        self.operations = {cell: tuple(map(tuple, operations[cell])) for cell in CELLS}
        width = len(operations["normal"][0])
        self.alphas = nn.ParameterDict({cell: nn.Parameter(std * torch.randn(len(EDGES), width)) for cell in CELLS})
        self.betas = nn.ParameterDict(
            {cell: nn.Parameter(std * torch.randn(len(EDGES))) for cell in CELLS} if edge_normalisation else {}
        )

    def forward(
        self, sampling: Sampling = "softmax", temperature: float = 1.0, noise: Mapping[str, Tensor] | None = None
    ) -> Mixture:
        """The mixture; the Gumbel kinds sample it with ``noise`` (from :meth:`draw_noise`) at ``temperature``.

        The hard sample waits for the device: which operations are to be computed is decided in Python.
        """
        weights = {cell: _mix(alphas, sampling, temperature, noise, cell) for cell, alphas in self.alphas.items()}
        if sampling == "gumbel_hard":
            return self._only({cell: value.detach().argmax(dim=1).tolist() for cell, value in weights.items()}, weights)
        edges = self.edge_weights()
        if edges is not None:
            weights = {cell: weights[cell] * edges[cell][:, None] for cell in CELLS}
        return Mixture(weights, edges)

    def strongest(self) -> Mixture:
        """The most likely sample: of every edge the operation with the largest alpha, alone."""
        chosen = {cell: alphas.detach().argmax(dim=1).tolist() for cell, alphas in self.alphas.items()}
        return self._only(chosen, {cell: torch.ones_like(alphas) for cell, alphas in self.alphas.items()})

    def _only(self, chosen: dict[str, list[int]], weights: dict[str, Tensor]) -> Mixture:
        """One operation an edge at 1, with the gradient of its weight (straight-through); the others at 0, with none.

        GDAS, Eq. 6 and 7: the other operations are not computed, so no gradient passes through them.
        """
        hard = {}
        for cell, value in weights.items():
            columns = torch.tensor(chosen[cell], device=value.device)[:, None]
            own = torch.zeros_like(value).scatter(1, columns, 1.0)
            hard[cell] = own * (1.0 + (value - value.detach()))
        edges = self.edge_weights()
        if edges is not None:
            hard = {cell: hard[cell] * edges[cell][:, None] for cell in CELLS}
        return Mixture(hard, edges, chosen)

    def draw_noise(self, source: torch.Generator) -> dict[str, Tensor]:
        """Gumbel noise for one sample: (14, k) per cell, drawn on the CPU, the same for every device."""
        noise = {}
        for cell, alphas in self.alphas.items():
            exponential = torch.empty(alphas.shape, dtype=alphas.dtype).exponential_(generator=source)
            noise[cell] = exponential.log().neg().to(alphas.device, non_blocking=True)
        return noise

    def edge_weights(self) -> dict[str, Tensor] | None:
        """Softmax of the betas over the inputs of each node, (14,) per cell; None without edge normalisation."""
        if not self.betas:
            return None
        return {
            cell: torch.cat([torch.softmax(betas[edges_into(node)], dim=0) for node in CONCAT])
            for cell, betas in self.betas.items()
        }

    def values(self) -> dict[str, list[list[float]]]:
        """The alphas as plain numbers."""
        return {cell: alphas.detach().double().cpu().tolist() for cell, alphas in self.alphas.items()}

    def edge_values(self) -> dict[str, list[float]] | None:
        """The edge weights as plain numbers."""
        edges = self.edge_weights()
        return (
            None if edges is None else {cell: value.detach().double().cpu().tolist() for cell, value in edges.items()}
        )

    def carry_over(self, operations: OperationSets, alphas: dict[str, list[list[float]]]) -> None:
        """Start from the ``alphas`` that survivors had among the earlier ``operations`` (footnote of section 4.2)."""
        for cell in CELLS:
            kept = [
                [row[before.index(name)] for name in names]
                for names, before, row in zip(self.operations[cell], operations[cell], alphas[cell])
            ]
            self.alphas[cell].data.copy_(torch.tensor(kept, dtype=torch.float64))


def _mix(
    alphas: Tensor, sampling: Sampling, temperature: float, noise: Mapping[str, Tensor] | None, cell: str
) -> Tensor:
    """Softmax of the alphas; or of the alphas and noise at a temperature."""
    if sampling == "softmax":
        return torch.softmax(alphas, dim=-1)
    if noise is None:
        raise ValueError(f"a mixture sampled by {sampling!r} needs noise")
    return torch.softmax((alphas + noise[cell]) / temperature, dim=-1)
