"""Detection on a GPU: mmcv's operations give what a CPU gives, detectors train, mixed precision survives a stop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

pytest.importorskip("mmdet")

from test_detectors import DETECTORS, SIZE, build, sample
from test_mmcv_deformable import attention_inputs
from test_mmcv_ops import random_boxes

from detection.data import CocoData
from detection.recipe import DetectRecipe
from detection.train import run_detection
from nas.progress import Progress

mmcv_ops = pytest.importorskip("mmcv.ops")
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


def value_and_gradients(function: Callable[..., Tensor], arguments: list[Tensor], device: str) -> list[Tensor]:
    """The result and the gradients of its weighted sum with respect to every argument that takes one, on the CPU."""
    placed = [a.detach().to(device).requires_grad_(a.requires_grad) for a in arguments]
    result = function(*placed)
    weight = torch.linspace(-1, 1, result.numel(), dtype=result.dtype, device=device).reshape(result.shape)
    (result * weight).sum().backward()
    return [t.detach().cpu() for t in (result, *(a.grad for a in placed if a.grad is not None))]


def assert_same_on_both(function: Callable[..., Tensor], arguments: list[Tensor]) -> None:
    expected, found = (value_and_gradients(function, arguments, device) for device in ("cpu", "cuda"))
    assert len(expected) > 1
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("offset", [0, 1])
def test_nms(offset: int) -> None:
    for seed in range(10):
        boxes, scores = random_boxes(300, seed), torch.rand(300, generator=torch.Generator().manual_seed(seed))
        expected = mmcv_ops.nms(boxes, scores, 0.5, offset=offset)[1]
        assert torch.equal(mmcv_ops.nms(boxes.cuda(), scores.cuda(), 0.5, offset=offset)[1].cpu(), expected)


@pytest.mark.parametrize("aligned", [True, False])
def test_roi_align(aligned: bool) -> None:
    image = torch.rand(2, 3, 20, 24, dtype=torch.float64, requires_grad=True)
    rois = torch.cat([torch.arange(40).unsqueeze(1) % 2, random_boxes(40, 0)], 1).double()
    assert_same_on_both(lambda x, r: mmcv_ops.roi_align(x, r, (5, 5), 0.5, 2, "avg", aligned), [image, rois])


def test_sigmoid_focal_loss() -> None:
    logits = torch.randn(50, 7, dtype=torch.float64, requires_grad=True)
    target, weight = torch.arange(50) % 8, torch.rand(7, dtype=torch.float64)
    assert_same_on_both(
        lambda x, t, w: mmcv_ops.sigmoid_focal_loss(x, t, 2.0, 0.25, w, "none"), [logits, target, weight]
    )


def test_modulated_deform_conv() -> None:
    double = torch.float64
    arguments = [
        torch.rand(2, 3, 6, 7, dtype=double),
        torch.randn(2, 18, 3, 4, dtype=double),
        torch.rand(2, 9, 3, 4, dtype=double),
        torch.randn(4, 3, 3, 3, dtype=double),
        torch.randn(4, dtype=double),
    ]
    function = mmcv_ops.modulated_deform_conv2d
    assert_same_on_both(lambda *a: function(*a, 2, 1), [a.requires_grad_() for a in arguments])


def test_deformable_attention() -> None:
    function = mmcv_ops.multi_scale_deform_attn.MultiScaleDeformableAttnFunction
    assert_same_on_both(lambda *a: function.apply(*a, 64), list(attention_inputs()))


@pytest.mark.filterwarnings("ignore")  # mmdet's own deprecations, detector by detector
@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_trains_a_step_and_predicts(name: str) -> None:
    torch.manual_seed(0)
    detector = build(name).train().cuda()
    image = torch.randn(2, 3, SIZE, SIZE, device="cuda")
    samples = [sample(with_masks=name == "mask_rcnn").cuda() for _ in range(2)]
    loss, _ = detector.parse_losses(detector(image, samples, mode="loss"))
    assert torch.isfinite(loss)
    loss.backward()
    assert any(p.grad is not None and bool(p.grad.any()) for p in detector.backbone.parameters())
    with torch.no_grad():
        (found,) = detector.eval()(image[:1], samples[:1], mode="predict")
    assert torch.isfinite(found.pred_instances.bboxes).all()


class Stop(Exception):
    """Stands for a kill."""


def test_mixed_precision_learns_and_survives_a_stop(
    tiny_backbone: str, digits: CocoData, quick: DetectRecipe, tmp_path: Path
) -> None:
    recipe = quick.model_copy(update={"precision": "amp"})

    def stop(progress: Progress) -> None:
        if (progress.stage, progress.epoch, progress.step) == ("detect", 2, 1):
            raise Stop

    whole = run_detection(tiny_backbone, digits, recipe, seed=5, workdir=tmp_path / "whole")
    with pytest.raises(Stop):
        run_detection(tiny_backbone, digits, recipe, seed=5, workdir=tmp_path / "broken", report=stop)
    resumed = run_detection(tiny_backbone, digits, recipe, seed=5, workdir=tmp_path / "broken")
    plain = run_detection(tiny_backbone, digits, quick, seed=5, workdir=tmp_path / "plain")
    losses, again, exact = ([epoch["train_loss"] for epoch in run.history] for run in (whole, resumed, plain))
    assert again == pytest.approx(losses, rel=1e-2)
    assert losses == pytest.approx(exact, rel=0.1)
    assert losses != exact
    assert torch.cuda.get_device_name() in whole.device
    assert whole.peak_memory_bytes is not None
