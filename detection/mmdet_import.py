"""The former home of :func:`backbones.mmdet_import.prepare`."""

from backbones.mmdet_import import prepare

__all__ = ["prepare"]
