"""The score of a classification network on a set of images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from nas.images import IGNORED
from nas.loading import Batch, Loader
from nas.progress import Progress, Report, silent
from nas.proxies import Proxy

BATCH = 250


@dataclass(frozen=True)
class Score:
    """Top-1 and top-5 accuracy as fractions of ``images`` (top-5: of the classes, where there are fewer), mean loss.

    ``left_out`` images more could not be decoded. ``answers`` (images,) has 1.0 for each correctly classified
    image and 0.0 for the others, in the order of the set: top-1 accuracy is their mean.
    """

    top1: float
    top5: float
    loss: float
    images: int
    left_out: int = 0
    answers: Tensor = field(default_factory=lambda: torch.empty(0), compare=False, repr=False)

    @classmethod
    def of(cls, sums: Tensor, answers: Tensor) -> Score:
        """From what :func:`tally` returns."""
        top1, top5, loss, images = sums.tolist()
        return cls(top1 / images, top5 / images, loss / images, int(images), answers=answers[~answers.isnan()])


def evaluate_classifier(
    network: nn.Module,
    proxy: Proxy,
    *,
    device: str | torch.device | None = None,
    workers: int = 0,
    report: Report = silent,
) -> Score:
    """Score ``network`` on the test images of ``proxy``, on ``device`` (by default where the network is)."""
    place = torch.device(device) if device is not None else next(network.parameters()).device
    loader = Loader(proxy.test, proxy.image_size, proxy.mean, proxy.std, place, workers)
    chunks = torch.arange(len(proxy.test)).split(BATCH)
    score = Score.of(*tally(network.to(place), _watched(loader.plain(chunks), len(chunks), report)))
    return replace(score, left_out=len(loader.corrupt))


def _watched(batches: Iterable[Batch], count: int, report: Report) -> Iterator[Batch]:
    """The batches, each reported once it is scored."""
    for step, batch in enumerate(batches, 1):
        yield batch
        report(Progress("evaluate", 0, 1, step, count))


@torch.no_grad()
def tally(
    network: nn.Module, batches: Iterable[Batch], autocast: Callable[[], AbstractContextManager[object]] = nullcontext
) -> tuple[Tensor, Tensor]:
    """Sums over ``batches``, float64 (4,), and the top-1 correctness of each of their images, float64.

    The sums are: top-1 correct, top-5 correct, cross-entropy, images. Correctness is 1 or 0; images with
    the label :data:`~nas.images.IGNORED` do not count and have NaN. The network is put into evaluation mode and back.
    """
    was_training = network.training
    network.eval()
    sums, answers = torch.zeros(4, dtype=torch.float64), [torch.empty(0, dtype=torch.float64)]
    for pixels, labels in batches:
        with autocast():
            logits = network(pixels)
        batch, first = _score_batch(logits.float(), labels)
        sums += batch.cpu()
        answers.append(first.cpu())
    network.train(was_training)
    return sums, torch.cat(answers)


def _score_batch(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    counted = labels != IGNORED
    loss = nn.functional.cross_entropy(logits, labels, reduction="sum", ignore_index=IGNORED)
    right = logits.topk(min(5, logits.shape[1])).indices == labels[:, None]
    sums = torch.stack([right[:, 0].sum(), right.sum(), loss, counted.sum()]).double()
    return sums, right[:, 0].double().masked_fill(~counted, float("nan"))
