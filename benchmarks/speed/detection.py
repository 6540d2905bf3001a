"""What detection costs beside the network: COCO's evaluation, loading of images, post-processing.

    python -m benchmarks.speed.detection                 # metric and pipeline
    python -m benchmarks.speed.detection metric          # our metric against pycocotools at the size of val2017
    python -m benchmarks.speed.detection metric --images 1000
    python -m benchmarks.speed.detection pipeline        # an SSD320 step by step, milliseconds per image
    python -m benchmarks.speed.detection configs         # each shipped config; on a GPU if there is one

The metric is measured in processes of their own: CPU time of all threads, and peak memory above what the process
held before it began. Both engines get the same annotation file and the same detections; their twelve numbers must be
the same to the last bit. The detectors of the other parts are untrained. In ``pipeline`` and ``configs`` every box of
theirs reaches non-maximum suppression, the most work that there can be.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

CLASSES = 80
BOXES_PER_IMAGE = 7.3  # val2017: 36,781 boxes in 5,000 images
DETECTIONS_PER_IMAGE = 100
CONFIGS = Path(__file__).parents[2] / "detection" / "configs"
COLUMNS = ("train", "train, AMP", "GiB, AMP", "inference")


def make_case(folder: Path, images: int) -> None:
    """Annotations and detections with the statistics of val2017: sizes over three decades, 2 % crowds, clutter."""
    rng = np.random.default_rng(0)
    owner = rng.integers(1, images + 1, round(images * BOXES_PER_IMAGE))
    size = np.exp(rng.uniform(np.log(8), np.log(400), (len(owner), 2)))
    corner = rng.uniform(0, 1, (len(owner), 2)) * np.maximum([640, 480] - size, 1)
    boxes, labels = np.hstack([corner, size]).round(2), rng.integers(1, CLASSES + 1, len(owner))
    entries = [
        {
            "id": i + 1,
            "image_id": int(owner[i]),
            "category_id": int(labels[i]),
            "bbox": boxes[i].tolist(),
            "area": float(boxes[i, 2] * boxes[i, 3] * 0.6),
            "iscrowd": int(rng.random() < 0.02),
        }
        for i in range(len(owner))
    ]
    truth = {
        "images": [{"id": i, "width": 640, "height": 480, "file_name": f"{i}.jpg"} for i in range(1, images + 1)],
        "categories": [{"id": i, "name": f"class {i}"} for i in range(1, CLASSES + 1)],
        "annotations": entries,
    }
    (folder / "truth.json").write_text(json.dumps(truth))
    found = rng.integers(len(owner), size=2 * len(owner))
    hits = boxes[found] + rng.normal(0, 0.1, (len(found), 4)) * np.tile(boxes[found, 2:], 2)
    hits[:, 2:] = np.maximum(hits[:, 2:], 1)
    rest = images * DETECTIONS_PER_IMAGE - len(found)
    clutter = np.hstack([rng.uniform(0, 400, (rest, 2)), rng.uniform(4, 200, (rest, 2))])
    image = np.concatenate([owner[found], rng.integers(1, images + 1, rest)])
    label = np.concatenate([labels[found], rng.integers(1, CLASSES + 1, rest)])
    detections = np.column_stack([image, np.vstack([hits, clutter]), rng.random(len(image)), label])
    np.save(folder / "detections.npy", detections.astype(np.float64))


def measure_engine(folder: Path, engine: str) -> dict[str, Any]:
    """Score the case with one engine in a fresh process."""
    parent, child = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_score, args=(folder, engine, child))
    process.start()
    result = parent.recv()
    process.join()
    return result


def _score(folder: Path, engine: Any, answer: Any) -> None:
    from detection.coco_eval import evaluate_coco
    from nas.errors import require

    for module in ("hotcoco", "pycocotools.cocoeval"):
        require(module, "detection")
    detections = np.load(folder / "detections.npy")
    before, start = _usage(), time.perf_counter()
    scores = evaluate_coco(folder / "truth.json", detections, engine=engine)
    after = _usage()
    answer.send(
        {
            "cpu": after[0] - before[0],
            "wall": time.perf_counter() - start,
            "memory": after[1] - before[1],
            "stats": scores.stats,
        }
    )


def _usage() -> tuple[float, float]:
    """CPU seconds of all threads, and peak resident memory in MiB."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def compare_metric(images: int) -> None:
    """Print CPU time, memory and their ratios; raises if the numbers differ."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        make_case(folder, images)
        ours, reference = (measure_engine(folder, engine) for engine in ("hotcoco", "pycocotools"))
    print(f"COCO metric: {images} images, {images * DETECTIONS_PER_IMAGE} detections, {CLASSES} classes")
    for label, found in (("ours", ours), ("pycocotools", reference)):
        print(f"  {label:12} {found['cpu']:8.2f} s CPU {found['wall']:8.2f} s wall {found['memory']:8.0f} MiB")
    processor, memory = (reference[key] / ours[key] for key in ("cpu", "memory"))
    print(f"  ratio        {processor:8.0f} x CPU {memory:20.1f} x memory")
    if ours["stats"] != reference["stats"]:
        raise SystemExit(f"the numbers differ:\n{ours['stats']}\n{reference['stats']}")
    print(f"  the twelve numbers are the same to the last bit; AP {ours['stats']['AP']:.6f}")


def compare_pipeline(rounds: int, batch: int) -> None:
    """Print milliseconds per image of each part of an SSD320 with the P-DARTS cell at 48 channels, one thread."""
    import torch

    from detection.backbone import backbone_config
    from detection.compose import make_digits_coco
    from detection.config import build_config
    from detection.recipe import DetectRecipe, Execution
    from detection.run import DetectionRun
    from nas.progress import silent

    torch.set_num_threads(1)
    with TemporaryDirectory() as name:
        data = make_digits_coco(Path(name) / "data", train=2 * batch, val=2 * batch, image_size=480)
        recipe = DetectRecipe(batch_size=batch)
        execution = Execution(workers=0, eval_batch_size=batch)
        backbone = backbone_config("pdarts_cifar10", recipe)
        config = build_config(backbone, data, recipe, execution, seed=0, workdir=Path(name) / "run")
        runner = DetectionRun(config, Path(name) / "resume.pt", "speed", silent, lambda: None).runner
        for part, seconds in _time_parts(runner, rounds).items():
            print(f"  {part:32} {1000 * seconds / batch:8.1f} ms per image")


def _time_parts(runner: Any, rounds: int) -> dict[str, float]:
    """CPU seconds per batch, the least of ``rounds``: loading, network, loss, backward, post-processing."""
    import torch
    from mmdet.models.utils import unpack_gt_instances

    model = runner.model
    train, evaluation = (runner.build_dataloader(runner.cfg[f"{part}_dataloader"]) for part in ("train", "val"))
    parts = {"load and augment (training)": _least(lambda: next(iter(train)), rounds)}
    parts["load (evaluation)"] = _least(lambda: next(iter(evaluation)), rounds)
    batch = model.data_preprocessor(next(iter(train)), training=True)
    truth, _, sizes = unpack_gt_instances(batch["data_samples"])
    model.train()
    parts["network, forward"] = _least(lambda: model(batch["inputs"], mode="tensor"), rounds)
    outputs = model(batch["inputs"], mode="tensor")
    parts["matching and loss"] = _least(lambda: model.bbox_head.loss_by_feat(*outputs, truth, sizes), rounds)
    loss = model.parse_losses(model.bbox_head.loss_by_feat(*outputs, truth, sizes))[0]
    parts["backward"] = _least(lambda: loss.backward(retain_graph=True), rounds)
    model.eval()
    batch = model.data_preprocessor(next(iter(evaluation)), training=False)
    sizes = [sample.metainfo for sample in batch["data_samples"]]
    with torch.no_grad():
        parts["network (evaluation)"] = _least(lambda: model(batch["inputs"], mode="tensor"), rounds)
        outputs = model(batch["inputs"], mode="tensor")
        find = model.bbox_head.predict_by_feat
        parts["post-processing (evaluation)"] = _least(
            lambda: find(*outputs, batch_img_metas=sizes, rescale=True), rounds
        )
    return parts


def _least(task: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        start = time.process_time()
        task()
        times.append(time.process_time() - start)
    return min(times)


def compare_configs(only: list[str], rounds: int, batch: int) -> None:
    """Print what each shipped config does on the first GPU, or else on one thread: whole training steps, inference."""
    import torch

    torch.set_num_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name() if device.type == "cuda" else "one thread, by its CPU time"
    print(f"Images a second on {name}, PyTorch {torch.__version__}, batches of {batch}")
    print(f"  {'config':28}" + "".join(f"{column:>12}" for column in COLUMNS))
    for path in sorted(path for path in CONFIGS.glob("*.py") if not only or path.stem in only):
        found = measure_config(path, device, rounds, batch)
        rates = (f"{found[column]:12.1f}" if column in found else f"{'-':>12}" for column in COLUMNS)
        print(f"  {path.stem:28}" + "".join(rates), flush=True)


def measure_config(path: Path, device: Any, rounds: int, batch: int) -> dict[str, float]:
    """Images a second of one config's detector with new weights, by mmengine's own steps from pixels in memory."""
    import torch
    from mmdet.registry import MODELS
    from mmengine.config import Config
    from mmengine.optim import AmpOptimWrapper, OptimWrapper

    from backbones.mmdet_config import mmdet_scope

    with mmdet_scope():
        config = Config.fromfile(path)
        for source in ("pretrained", "init_cfg"):  # nothing is fetched, nothing is read
            config.model.backbone.pop(source, None)
        test_cfg = {"test_cfg": dict(config.model.get("test_cfg") or {}) | {"score_thr": 0.0}}
        model = MODELS.build(dict(config.model) | test_cfg).to(device).to(memory_format=torch.channels_last)
    resize = next(step for step in config.val_dataloader.dataset.pipeline if step.type == "Resize")
    data = _drawn_batch(resize.scale[0], batch, device)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    found = {"train": batch / _median(partial(model.train().train_step, data, OptimWrapper(optimizer)), rounds, device)}
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        mixed = AmpOptimWrapper(optimizer=optimizer)
        found["train, AMP"] = batch / _median(partial(model.train_step, data, mixed), rounds, device)
        found["GiB, AMP"] = torch.cuda.max_memory_allocated() / 2**30
    found["inference"] = batch / _median(partial(model.eval().test_step, data), rounds, device)
    return found


def _drawn_batch(size: int, batch: int, device: Any) -> dict[str, Any]:
    """``batch`` noise images (3, size, size) uint8 in the device's memory, seven boxes each."""
    import torch
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    torch.manual_seed(0)
    shape = {"img_shape": (size, size), "ori_shape": (size, size), "scale_factor": (1.0, 1.0)}
    corners = size * torch.rand(batch, 7, 2, 2, device=device).sort(2).values
    labels = torch.randint(CLASSES, (batch, 7), device=device)
    truths = [InstanceData(bboxes=one, labels=two) for one, two in zip(corners.flatten(2), labels, strict=True)]
    images = torch.randint(256, (batch, 3, size, size), dtype=torch.uint8, device=device)
    samples = [DetDataSample(gt_instances=truth, metainfo=shape) for truth in truths]
    return {"inputs": list(images), "data_samples": samples}


def _median(task: Callable[[], object], rounds: int, device: Any) -> float:
    """Median seconds of ``task``, after one round to warm up: by the clock with all that it started on a GPU, or else
    the processor's.
    """
    import torch

    clock = time.perf_counter if device.type == "cuda" else time.process_time
    times = []
    for _ in range(1 + rounds):
        start = clock()
        task()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(clock() - start)
    return median(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=["metric", "pipeline", "configs"], default=None)
    parser.add_argument("--only", nargs="+", default=[], metavar="CONFIG", help="configs, by name")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=8)
    options = parser.parse_args()
    if options.part in ("metric", None):
        compare_metric(options.images)
    if options.part == "configs":
        compare_configs(options.only, options.rounds, options.batch)
    if options.part in ("pipeline", None):
        print(f"SSD320, P-DARTS at 48 channels, one thread, batches of {options.batch}")
        compare_pipeline(options.rounds, options.batch)


if __name__ == "__main__":
    main()
