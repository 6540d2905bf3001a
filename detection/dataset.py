"""COCO-format images for mmdet: any categories, read quietly, augmented as a function of the seed and the visit."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from mmdet.datasets import CocoDataset
from mmdet.datasets.api_wrappers import COCO
from mmdet.registry import DATASETS
from torch.utils.data import get_worker_info

from backbones.mmdet_import import prepare
from detection.annotations import label_ids, read_annotations
from detection.visits import Visit
from nas.errors import NaswildError
from nas.seeding import derive_seed

prepare()


class QuietCOCO(COCO):
    """pycocotools' index of annotations that are read already, without its progress lines on the screen."""

    def __init__(self, content: dict[str, Any]) -> None:
        super().__init__()
        self.dataset = content
        self.imgs = {image["id"]: dict(image) for image in content["images"]}  # copies: mmdet adds a key to each
        self.cats = {category["id"]: category for category in content["categories"]}
        self.anns = {entry["id"]: entry for entry in content["annotations"]}
        by_image: dict[int, list[Any]] = defaultdict(list)
        by_category: dict[int, list[int]] = defaultdict(list)
        for entry in content["annotations"]:
            by_image[entry["image_id"]].append(entry)
            by_category[entry["category_id"]].append(entry["image_id"])
        self.imgToAnns = self.img_ann_map = by_image
        self.catToImgs = self.cat_img_map = by_category

    def get_cat_ids(self, cat_names: Sequence[str] = (), sup_names: Sequence[str] = (), cat_ids: Any = ()) -> list[int]:
        """Category ids, in the order of ``cat_names`` if these are given: position i is the id of label i.

        pycocotools takes the order of the file instead, in which another file may differ.

        Raises:
            NaswildError: a name is not a category of the file.
        """
        if not cat_names:
            return super().get_cat_ids(cat_names, sup_names, cat_ids)
        return label_ids(self.dataset, cat_names)


@DATASETS.register_module()
class CocoFormatDataset(CocoDataset):
    """mmdet's ``CocoDataset`` for any COCO-format file.

    The classes are the file's categories, in its order, unless ``metainfo`` names them: a validation set must be given
    those of the training set if its own order may differ. With ``augment_seed`` the random changes to an image depend
    on the seed and the :class:`~detection.visits.Visit` alone, not on worker processes or on how long a run has lasted.
    Loaded in worker processes it therefore needs the sampler :class:`~detection.visits.CountVisits`; plain indices in
    the main process are counted here.

    Args:
        masks: read ``segmentation`` too; without it a large file takes a third of the memory.
    """

    METAINFO: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        *args: Any,
        ann_file: str,
        metainfo: dict[str, Any] | None = None,
        augment_seed: int | None = None,
        masks: bool = True,
        **options: Any,
    ) -> None:
        self.augment_seed = augment_seed
        self._visits: Counter[int] = Counter()
        self.masks = masks
        self._content: dict[str, Any] | None = None  # from here to load_data_list: the file is parsed once
        if metainfo is None:
            self._content = read_annotations(self._full_path(ann_file, options.get("data_root", "")), masks=masks)
            metainfo = {"classes": tuple(category["name"] for category in self._content["categories"])}
        super().__init__(*args, ann_file=ann_file, metainfo=metainfo, **options)

    def COCOAPI(self, path: str) -> QuietCOCO:
        """The index that mmdet's ``load_data_list`` reads from; ``FastCocoMetric`` is told the id of each label."""
        content, self._content = self._content, None
        index = QuietCOCO(content or read_annotations(path, masks=self.masks))
        if self.test_mode:
            self._metainfo["category_ids"] = tuple(index.get_cat_ids(self.metainfo["classes"]))
        return index

    @staticmethod
    def _full_path(ann_file: str, data_root: str | None) -> Path:
        return Path(data_root or "", ann_file)

    def __getitem__(self, index: int) -> Any:
        if self.augment_seed is not None and not self.test_mode:
            seed = derive_seed(self.augment_seed, "augment", *self._path(index))
            random.seed(seed)
            np.random.seed(seed % 2**32)  # the generators that mmdet's transforms draw from
        return super().__getitem__(int(index))

    def _path(self, index: int) -> tuple[int, ...]:
        """What tells this visit from others to the same image."""
        if isinstance(index, Visit):
            return index.path
        if get_worker_info() is not None:
            raise NaswildError(
                "augment_seed: the index says nothing of the epoch, and a worker process would augment an image alike "
                "in all of them. In train_dataloader write sampler=dict(type='CountVisits', sampler=dict(type=..., "
                "...)) around the present one; where a wrapper such as ClassBalancedDataset chooses the index itself, "
                "leave augment_seed out"
            )
        self._visits[index] += 1
        return self._visits[index] - 1, index
