# SSD320 with P-DARTS (CIFAR10), a row of Table 4: 1.1 B multiply-adds in the backbone.
#
#   python tools/train.py ssd320_pdarts_cifar10.py          # mmdetection's own tools; torchrun for several GPUs
#   naswild evaluate pdarts_cifar10.safetensors --task detect --root ~/data/coco --protocol detect-ssd320
#
# Expected: AP 28.9, AP50 46.8 on test-dev, as published.
# Time: about a day on 8 GPUs, an estimate: 120 epochs are 14 million images; not run here at this scale.
# Open choices: all in _base_/ssd320.py, each with its reason.
#
# The checkpoint is written by
#   naswild retrain pdarts_cifar10 --protocol retrain-imagenet --on imagenet --root DIR --out FILE
# and loaded strictly, and the log says so. Another backbone is another line, e.g.
#   backbone=dict(_delete_=True, type="TimmBackbone", name="resnet50", pretrained=True, out_indices=(1, 2, 3))
#   backbone=dict(_delete_=True, type="CellBackbone", weights="mine.safetensors", out_indices=(1, 2, 3))
_base_ = ["_base_/ssd320.py"]
model = dict(
    backbone=dict(
        type="CellBackbone",
        genotype="pdarts_cifar10",
        out_indices=(1, 2, 3),
        init_cfg=dict(type="Pretrained", checkpoint="weights/pdarts_cifar10.safetensors"),
    )
)
