# SSD512 without its backbone. What the paper leaves open is as in ssd320.py, for the reasons given there, but for
#
#   levels       64, 32, 16 cells of the backbone, then 8, 4, 2, 1: the seven levels of SSD512
#   extra layers 512, 256, 256, 256 channels as SSD512
#   anchors      SSD512's fractions on COCO: 0.04, then 0.1 to 0.9 evenly
_base_ = ["ssd320.py"]
input_size = 512
model = dict(input_size=input_size, extra_channels=(512, 256, 256, 256), anchors=dict(first=0.04, second=0.1, last=0.9))
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="Expand", mean=(123.675, 116.28, 103.53), to_rgb=True, ratio_range=(1, 4)),
    dict(type="MinIoURandomCrop", min_ious=(0.1, 0.3, 0.5, 0.7, 0.9), min_crop_size=0.3),
    dict(type="Resize", scale=(input_size, input_size), keep_ratio=False),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(input_size, input_size), keep_ratio=False),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
