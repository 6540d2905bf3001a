# SSD300 with VGG-16 (Liu et al. 2016), a baseline of Table 4: 31.4 B multiply-adds (published).
#
#   python tools/train.py ssd300_vgg16.py          # fetches the VGG weights on its first run
#
# Expected: AP 23.2, AP50 41.2 on test-dev (Table 4); mmdetection states AP 25.5 on val2017 for its own config.
# Time: about a day on 8 GPUs, an estimate: 120 epochs are 14 million images; not run here.
# Open choices: none. It is mmdetection's own config, scored by our metric: the twelve standard numbers, unrounded.
_base_ = ["mmdet::ssd/ssd300_coco.py"]
custom_imports = dict(imports=["detection.mmdet_models"], allow_failed_imports=False)
val_evaluator = dict(
    _delete_=True, type="FastCocoMetric", ann_file="data/coco/annotations/instances_val2017.json", metric="bbox"
)
test_evaluator = val_evaluator
