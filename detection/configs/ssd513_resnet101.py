# SSD with ResNet-101, the strongest baseline of Table 4: 43.4 B multiply-adds at 513 pixels (published).
#
#   python tools/train.py ssd513_resnet101.py          # fetches timm's ImageNet weights on its first run
#   naswild evaluate timm:resnet101 --task detect --root ~/data/coco --protocol detect-ssd512  # from new weights
#
# Expected: AP 31.2, AP50 50.4 on test-dev (Table 4, which has it from Duan et al. 2019).
# Time: about 2.5 days on 8 GPUs, an estimate: 120 epochs are 14 million images; not run here.
# Open choices: the levels are strides 8, 16, 32 and the input is 512, not 513, as for every backbone here: rows are to
# differ in the backbone alone. The rest is in _base_/ssd512.py, each with its reason.
_base_ = ["_base_/ssd512.py"]
model = dict(backbone=dict(type="TimmBackbone", name="resnet101", out_indices=(1, 2, 3), pretrained=True))
