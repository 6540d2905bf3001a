"""COCO-format images for mmdet: any categories, read quietly, augmented as a function of seed, epoch and index."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any, ClassVar

import numpy as np
from mmdet.datasets import CocoDataset
from mmdet.datasets.api_wrappers import COCO
from mmdet.registry import DATASETS
from mmengine.fileio import load

from backbones.mmdet_import import prepare
from nas.seeding import derive_seed

prepare()


class QuietCOCO(COCO):
    """pycocotools' index of an annotation file without its progress lines on the screen."""

    def __init__(self, annotation_file: str) -> None:
        super().__init__()
        self.dataset = load(annotation_file, file_format="json")
        self.imgs = {image["id"]: image for image in self.dataset["images"]}
        self.cats = {category["id"]: category for category in self.dataset["categories"]}
        self.anns = {entry["id"]: entry for entry in self.dataset.get("annotations", [])}
        by_image: dict[int, list[Any]] = defaultdict(list)
        by_category: dict[int, list[int]] = defaultdict(list)
        for entry in self.dataset.get("annotations", []):
            by_image[entry["image_id"]].append(entry)
            by_category[entry["category_id"]].append(entry["image_id"])
        self.imgToAnns = self.img_ann_map = by_image
        self.catToImgs = self.cat_img_map = by_category


@DATASETS.register_module()
class CocoFormatDataset(CocoDataset):
    """mmdet's ``CocoDataset`` for any COCO-format file.

    The classes are the file's categories unless ``metainfo`` names them. With ``augment_seed`` the random changes to
    image ``index`` in ``epoch`` depend on these three alone, not on worker processes or on how long a run has lasted:
    :class:`detection.hooks.ExactRandomness` tells the epoch.
    """

    METAINFO: ClassVar[dict[str, Any]] = {}
    COCOAPI = QuietCOCO

    def __init__(
        self,
        *args: Any,
        ann_file: str,
        metainfo: dict[str, Any] | None = None,
        augment_seed: int | None = None,
        **options: Any,
    ) -> None:
        self.augment_seed = augment_seed
        self.epoch = 0
        if metainfo is None:
            categories = load(self._full_path(ann_file, options.get("data_root", "")))["categories"]
            metainfo = {"classes": tuple(category["name"] for category in categories)}
        super().__init__(*args, ann_file=ann_file, metainfo=metainfo, **options)

    @staticmethod
    def _full_path(ann_file: str, data_root: str) -> str:
        from mmengine.utils import is_abs

        return ann_file if is_abs(ann_file) or not data_root else f"{data_root.rstrip('/')}/{ann_file}"

    def __getitem__(self, index: int) -> Any:
        if self.augment_seed is not None and not self.test_mode:
            seed = derive_seed(self.augment_seed, "augment", self.epoch, index)
            random.seed(seed)
            np.random.seed(seed % 2**32)  # the generators that mmdet's transforms draw from
        return super().__getitem__(index)
