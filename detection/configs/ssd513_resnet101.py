# SSD with ResNet-101, the strongest baseline of Table 4: AP 31.2, AP50 50.4, 43.4 B multiply-adds at 513 pixels (Fu et
# al. 2017; published, not measured here). Fu et al. read layers of their own choice and 513 pixels; here the levels are
# strides 8, 16, 32 and the input is 512, as for every backbone.
#
#   python tools/train.py ssd513_resnet101.py          fetches timm's ImageNet weights on its first run
_base_ = ["_base_/ssd512.py"]
model = dict(backbone=dict(type="TimmBackbone", name="resnet101", out_indices=(1, 2, 3), pretrained=True))
