# SSD320 without its backbone: a config that inherits this names one, and everything else is derived from it (channels,
# extra layers, anchors, normalisation). The choices are those of the protocol detect-ssd320:
#   levels       strides 8, 16, 32 of the backbone (out_indices 1, 2, 3), then extra layers to 5, 3, 1: SSD300's levels
#   extra layers 512, 256, 256 channels as SSD300, with batch normalisation as the backbone
#   anchors      SSD300's fractions of the input on COCO
#   head         plain 3x3 convolutions; depthwise=True makes it SSDLite
_base_ = ["coco.py", "schedule.py"]
custom_imports = dict(imports=["detection.mmdet_models"], allow_failed_imports=False)
model = dict(
    type="SSD",
    num_classes=80,
    input_size=320,
    extra_channels=(512, 256, 256),
    anchors=dict(first=0.07, second=0.15, last=0.9),
)
