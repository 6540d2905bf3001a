# SSD320 without its backbone: a config that inherits this names one, and everything else is derived from it (channels,
# extra layers, anchors, normalisation). The paper (section 5.4.1) gives detector, input, training images and that the
# backbone comes from ImageNet. What it leaves open, each choice with its reason; the protocol detect-ssd320 is the
# same:
#
#   levels       strides 8, 16, 32 of the backbone (out_indices 1, 2, 3), as SSD300 starts at stride 8; then extra
#                layers to 5, 3 and 1 cells: the levels of SSD300
#   extra layers 512, 256, 256 channels as SSD300; with batch normalisation, as the backbone has it everywhere
#   anchors      SSD300's fractions of the input on COCO: 0.07, then 0.15 to 0.9 evenly; ratios 2 and 3
#   head         plain 3x3 convolutions ("SSD" in Table 4; depthwise=True makes it SSDLite), weights from N(0, 0.001) as
#                in SSDLite, since the output of a cell is not normalised as VGG's is
#   schedule     120 epochs, x 0.1 after 80 and 110: mmdetection's 24 epochs over five-fold repeated data, 16 and 22
#   optimizer    SGD, momentum 0.9, weight decay 5e-4 as SSD; learning rate 0.02 for 64 images: ten times SSD's for the
#                batch, possible with batch normalisation; linear warm-up over 500 steps
#   augmentation SSD's, at many scales: zoom-out to 4 x, patches by overlap, colours, flip
#   batch norm   trained, not frozen: 8 images a device are enough for its statistics
#   head input   the outputs of cells as the classifier reads them: no ReLU before, no L2 scaling of the first level
#   inference    score 0.02 and 1,000 candidates a level: mmdetection's (Liu et al.: 0.01 and 400 a class); suppression
#                at 0.45, 200 detections: SSD's
_base_ = ["coco.py", "schedule.py"]
custom_imports = dict(imports=["detection.mmdet_models"], allow_failed_imports=False)
model = dict(
    type="SSD",
    num_classes=80,
    input_size=320,
    extra_channels=(512, 256, 256),
    anchors=dict(first=0.07, second=0.15, last=0.9),
)
