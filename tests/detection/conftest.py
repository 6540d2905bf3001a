"""A small set of digits on photographs, and a backbone that trains in a second."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from tiny import register, tiny_config

from detection.data import CocoData
from detection.recipe import DetectAugmentation, DetectorShape, DetectRecipe


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> CocoData:
    """12 training and 6 validation images of 96 pixels."""
    from detection.compose import make_digits_coco

    return make_digits_coco(tmp_path_factory.mktemp("digits"), seed=3, train=12, val=6, image_size=160)


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """The machine is shared, and the same sums in the same order make runs comparable to the last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def tiny_backbone() -> Iterator[str]:
    """Makes ``run_detection("tiny", ...)`` build ``TinyBackbone`` through mmdet's registry."""
    pytest.importorskip("mmdet")
    import detection.train

    register()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detection.train, "backbone_config", tiny_config)
        yield "tiny"


@pytest.fixture(scope="session")
def quick() -> DetectRecipe:
    """Three epochs of six steps, with every kind of augmentation but the mirror."""
    return DetectRecipe(
        input_size=64,
        shape=DetectorShape(extra_channels=(16,)),
        augmentation=DetectAugmentation(expand=2.0, flip=0.5),
        epochs=3,
        batch_size=2,
        learning_rate=0.02,
        schedule="step",
        milestones=(2,),
        warmup_steps=4,
        nms_candidates=50,
        gradient_clip=10.0,
    )
