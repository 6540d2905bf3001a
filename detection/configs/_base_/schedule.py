# 120 epochs of SGD: mmdetection's SSD schedule of 24 epochs over five-fold repeated data, steps after 16 and 22.
# SSD's own learning rate of 0.001 for 32 images is for VGG without normalisation; with it 0.02 for 64 is stable.
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=120, val_interval=10)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.02, momentum=0.9, weight_decay=5e-4))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type="MultiStepLR", by_epoch=True, milestones=[80, 110], gamma=0.1),
]
auto_scale_lr = dict(base_batch_size=64, enable=False)

# What a draw of an augmentation or of drop path is depends on seed, epoch and image or step alone: a resumed run equals
# an uninterrupted one. Keep the three seeds the same: randomness, ExactRandomness, augment_seed in coco.py. Without
# ExactRandomness drop path and dropout draw on as PyTorch does; the augmentation does not need it.
randomness = dict(seed=0)
custom_hooks = [
    dict(type="ExactRandomness", seed=0),
    dict(type="ZoomOutFill"),  # the border of a zoomed-out image gets the mean that the backbone is normalised by
    dict(type="SyncBuffersHook"),  # several processes: one set of running statistics, to save and to score with
    dict(type="NumClassCheckHook"),
]

default_scope = "mmdet"
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=200),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="CheckpointHook", interval=1, max_keep_ckpts=2),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    visualization=dict(type="DetVisualizationHook"),
    guard=dict(type="RunGuard"),  # stops at a loss that is not finite, and where val numbers its classes otherwise
)
env_cfg = dict(
    cudnn_benchmark=True, mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0), dist_cfg=dict(backend="nccl")
)
vis_backends = [dict(type="LocalVisBackend")]
visualizer = dict(type="DetLocalVisualizer", vis_backends=vis_backends, name="visualizer")
log_processor = dict(type="LogProcessor", window_size=50, by_epoch=True)
log_level = "INFO"
load_from = None
resume = False
