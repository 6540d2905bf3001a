# SSD512 with DARTS, Table 4: AP 31.8, AP50 50.3 on test-dev, 2.9 B multiply-adds: published figures.
# Not run here at this scale: 120 epochs are 14 million image passes, a matter of a day on 8 GPUs.
#
#   python tools/train.py ssd512_darts_v2.py          mmdetection's own tools; torchrun for several GPUs
#
# The checkpoint is what `naswild retrain darts_v2 --protocol retrain-imagenet --out FILE` writes; it is loaded
# strictly. Another backbone is another line, e.g.
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
