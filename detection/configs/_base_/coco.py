# COCO 2017 below data/coco as it is unpacked (train2017, val2017, test2017, annotations). train2017 is the paper's
# trainval35k. Any other set in COCO's format: change data_root, the file names and model.num_classes, nothing else
# (the classes are read from the annotation file).
data_root = "data/coco/"
input_size = 320

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
train_dataloader = dict(
    batch_size=8,  # a device; 8 devices give the 64 that the learning rate is for
    num_workers=4,
    sampler=dict(type="CountVisits", sampler=dict(type="DefaultSampler", shuffle=True)),
    drop_last=True,  # the last level is 1 x 1: a batch of one image would leave batch normalisation a single value
    dataset=dict(
        type="CocoFormatDataset",
        data_root=data_root,
        ann_file="annotations/instances_train2017.json",
        data_prefix=dict(img="train2017/"),
        filter_cfg=dict(filter_empty_gt=True),
        augment_seed=0,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=4,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="CocoFormatDataset",
        data_root=data_root,
        ann_file="annotations/instances_val2017.json",
        data_prefix=dict(img="val2017/"),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
# The standard twelve numbers, unrounded. For COCO's server: ann_file of image_info_test-dev2017.json in both places,
# format_only=True, outfile_prefix="test-dev".
val_evaluator = dict(type="FastCocoMetric", ann_file=data_root + "annotations/instances_val2017.json", metric="bbox")
test_evaluator = val_evaluator
