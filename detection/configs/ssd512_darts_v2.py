# SSD512 with DARTS, a row of Table 4: 2.9 B multiply-adds in the backbone.
#
#   python tools/train.py ssd512_darts_v2.py          # mmdetection's own tools; torchrun for several GPUs
#   naswild evaluate darts_v2.safetensors --task detect --root ~/data/coco --protocol detect-ssd512
#
# Expected: AP 31.8, AP50 50.3 on test-dev, as published.
# Time: about 2.5 days on 8 GPUs, an estimate: 120 epochs are 14 million images; not run here at this scale.
# Open choices: all in _base_/ssd512.py, each with its reason.
#
# The checkpoint is written by
#   naswild retrain darts_v2 --protocol retrain-imagenet --on imagenet --root DIR --out FILE
# and loaded strictly, and the log says so. Another backbone is another line, e.g.
#   backbone=dict(_delete_=True, type="TimmBackbone", name="resnet50", pretrained=True, out_indices=(1, 2, 3))
#   backbone=dict(_delete_=True, type="CellBackbone", weights="mine.safetensors", out_indices=(1, 2, 3))
_base_ = ["_base_/ssd512.py"]
model = dict(
    backbone=dict(
        type="CellBackbone",
        genotype="darts_v2",
        out_indices=(1, 2, 3),
        init_cfg=dict(type="Pretrained", checkpoint="weights/darts_v2.safetensors"),
    )
)
