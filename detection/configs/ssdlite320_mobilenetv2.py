# SSDLite320 with MobileNetV2: separable extra layers and heads (Sandler et al. 2018, section 6.2), for a
# detector whose cost is the backbone's.
#
#   python tools/train.py ssdlite320_mobilenetv2.py          # fetches timm's ImageNet weights on its first run
#
# Expected: AP 22.1 on test-dev (SSDLiteV2 in Table 4, from Sandler et al. 2018).
# Time: about a day on 8 GPUs, an estimate: 120 epochs are 14 million images; not run here.
# Open choices: the levels are strides 8, 16, 32 (Sandler et al. read two), as for every backbone here: rows are to
# differ in the backbone alone. The rest is in _base_/ssd320.py, each with its reason.
_base_ = ["_base_/ssd320.py"]
model = dict(
    depthwise=True,
    backbone=dict(type="TimmBackbone", name="mobilenetv2_100", out_indices=(1, 2, 3), pretrained=True),
)
