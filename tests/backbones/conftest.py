"""Make ``mmcv.ops`` importable, also where Python did not read our ``.pth`` file."""

from backbones import mmcv_finder

mmcv_finder.install()
