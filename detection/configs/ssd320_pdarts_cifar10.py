# SSD320 with P-DARTS (CIFAR10), Table 4: AP 28.9, AP50 46.8 on test-dev, 1.1 B multiply-adds: published figures.
# Not run here at this scale: 120 epochs are 14 million image passes, a matter of a day on 8 GPUs.
#
#   python tools/train.py ssd320_pdarts_cifar10.py          mmdetection's own tools; torchrun for several GPUs
#
# The checkpoint is what `naswild retrain pdarts_cifar10 --protocol retrain-imagenet --out FILE` writes; it is loaded
# strictly. Another backbone is another line, e.g.
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
