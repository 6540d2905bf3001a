"""On a GPU a step is captured once, as a CUDA graph, and replayed: one launch instead of thousands, no waiting host.

What a graph reads and writes has a fixed place in memory, and Python code runs while capturing only. So the inputs of
a step are copied into buffers, and what Python decides (the rate of the dropout, a temperature, a shape) is its key:
when that changes, the step is captured again. Random numbers are right because PyTorch has a graph read the seed of the
default generator when it is replayed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)

# Runs before the capture, so that libraries have chosen their kernels and allocated what they keep.
WARM_UP_RUNS = 3


class Inputs(NamedTuple):
    """What a step reads that is new each time. ``noise`` is for the methods that sample the architecture."""

    images: Tensor
    labels: Tensor
    noise: Mapping[str, Tensor] | None = None

    def tensors(self) -> list[Tensor]:
        """All of them."""
        return [self.images, self.labels, *(self.noise or {}).values()]

    def clone(self) -> Inputs:
        """Copies in new memory of the same layout."""
        noise = None if self.noise is None else {cell: value.clone() for cell, value in self.noise.items()}
        return Inputs(self.images.clone(), self.labels.clone(), noise)


class Computed(NamedTuple):
    """What a step computes: ``figures`` (summed loss, correct answers, images) in float32, and the gradients."""

    figures: Tensor
    gradients: list[Tensor]


Compute = Callable[[Inputs], Computed]
Replay = Callable[[], None]


class Capturer(Protocol):
    """Records ``compute(inputs)``; returns its output, whose memory every replay writes to, and the replay.

    ``kept`` is state that ``compute`` changes; it is as before when the capturer returns.
    """

    def __call__(self, compute: Compute, inputs: Inputs, kept: Sequence[Tensor]) -> tuple[Computed, Replay]: ...


class CudaGraphs:
    """Captures with :class:`torch.cuda.CUDAGraph`. All graphs of one object share a memory pool; never run two at once.

    Warm-up and capture use one side stream: some libraries keep a workspace for each stream.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.pool = torch.cuda.graph_pool_handle()
        self.stream = torch.cuda.Stream(device)

    def __call__(self, compute: Compute, inputs: Inputs, kept: Sequence[Tensor]) -> tuple[Computed, Replay]:
        before = [value.clone() for value in kept]
        self.stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self.stream):
            for _ in range(WARM_UP_RUNS):
                compute(inputs)
        torch.cuda.current_stream(self.device).wait_stream(self.stream)
        graph = torch.cuda.CUDAGraph()
        # "thread_local": the thread that pins the next batches' memory goes on meanwhile.
        with torch.cuda.graph(graph, pool=self.pool, stream=self.stream, capture_error_mode="thread_local"):
            computed = compute(inputs)
        torch._foreach_copy_(list(kept), before)
        return computed, graph.replay


@dataclass
class _Recording:
    key: Hashable
    inputs: Inputs
    computed: Computed
    replay: Replay


class CapturedStep:
    """``compute`` as a step that is captured at its first call and whenever its key or a shape has changed.

    Args:
        compute: Works on the inputs alone and on tensors that stay where they are (parameters, running statistics).
        parameters: Those whose ``.grad`` the optimiser is to find the gradients in.
        kept: What ``compute`` changes besides its output, running statistics.
        capturer: How to capture.
    """

    def __init__(
        self, compute: Compute, parameters: Sequence[nn.Parameter], kept: Sequence[Tensor], capturer: Capturer
    ) -> None:
        self.compute, self.parameters, self.kept, self.capturer = compute, parameters, kept, capturer
        self._recording: _Recording | None = None

    def __call__(self, key: Hashable, inputs: Inputs, seed: Callable[[], object]) -> Computed:
        """Run the step; ``seed`` sets the random generators. The next call overwrites the output."""
        key = (key, *(tensor.shape for tensor in inputs.tensors()))
        if self._recording is None or self._recording.key != key:
            self._recording = None  # frees the old graph's memory for the new one
            for parameter in self.parameters:
                parameter.grad = None
            buffers = inputs.clone()
            self._recording = _Recording(key, buffers, *self.capturer(self.compute, buffers, self.kept))
        recording = self._recording
        for buffer, tensor in zip(recording.inputs.tensors(), inputs.tensors()):
            buffer.copy_(tensor, non_blocking=True)
        seed()
        recording.replay()
        for parameter, gradient in zip(self.parameters, recording.computed.gradients):
            parameter.grad = gradient
        return recording.computed


def choose_capturer(device: torch.device, wanted: bool, obstacle: str | None) -> Capturer | None:
    """A capturer where steps are to be captured: on a GPU, unless an ``obstacle`` (said in the log) is in the way."""
    if device.type != "cuda" or not wanted:
        return None
    if obstacle is not None:
        log.info("steps are not captured as CUDA graphs: %s", obstacle)
        return None
    return CudaGraphs(device)
