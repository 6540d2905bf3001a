"""The networks of the DARTS family, written out as modules that carry its names (and no forward pass)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from nas import zoo
from nas.genotype import Genotype


def _bn(channels):
    return nn.BatchNorm2d(channels)


def _conv(channels_in, channels_out, kernel=1, groups=1):
    return nn.Conv2d(channels_in, channels_out, kernel, groups=groups, bias=False)


class _Op(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.op = nn.Sequential(*layers)


class _FactorizedReduce(nn.Module):
    def __init__(self, channels_in, channels_out):
        super().__init__()
        self.conv_1, self.conv_2 = _conv(channels_in, channels_out // 2), _conv(channels_in, channels_out // 2)
        self.bn = _bn(channels_out)


def _separable(c, kernel):
    return [nn.ReLU(), _conv(c, c, kernel, c), _conv(c, c), _bn(c)]


def _operation(name, c, stride):
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else _FactorizedReduce(c, c)
    if name.startswith("sep_conv"):
        return _Op(*_separable(c, int(name[-1])), *_separable(c, int(name[-1])))
    if name.startswith("dil_conv"):
        return _Op(*_separable(c, int(name[-1])))
    if name == "conv_7x1_1x7":
        return nn.Sequential(nn.ReLU(), _conv(c, c, (1, 7)), _conv(c, c, (7, 1)), _bn(c))
    return nn.MaxPool2d(3)


class _Cell(nn.Module):
    def __init__(self, spec, before, last, c, reduction, halve):
        super().__init__()
        point = _Op(nn.ReLU(), _conv(before, c), _bn(c))
        self.preprocess0 = _FactorizedReduce(before, c) if halve else point
        self.preprocess1 = _Op(nn.ReLU(), _conv(last, c), _bn(c))
        self._ops = nn.ModuleList(
            _operation(e.operation, c, 2 if reduction and e.input < 2 else 1) for node in spec.nodes for e in node
        )


class _Auxiliary(nn.Module):
    def __init__(self, c, classes, whole):
        super().__init__()
        layers = [nn.ReLU(), nn.AvgPool2d(5), _conv(c, 128), _bn(128), nn.ReLU(), _conv(128, 768, 2)]
        self.features = nn.Sequential(*layers, *([_bn(768)] if whole else []), nn.ReLU())
        self.classifier = nn.Linear(768, classes)


class Official(nn.Module):
    def __init__(self, genotype: Genotype, stem="cifar", c=4, cells=5, classes=3, auxiliary=True):
        super().__init__()
        if stem == "cifar":
            self.stem = nn.Sequential(_conv(3, 3 * c, 3), _bn(3 * c))
            before = last = 3 * c
        else:
            self.stem0 = nn.Sequential(_conv(3, c // 2, 3), _bn(c // 2), nn.ReLU(), _conv(c // 2, c, 3), _bn(c))
            self.stem1 = nn.Sequential(nn.ReLU(), _conv(c, c, 3), _bn(c))
            before = last = c
        self.cells, halve = nn.ModuleList(), stem != "cifar"
        for index in range(cells):
            reduction = index in (cells // 3, 2 * cells // 3)
            c = 2 * c if reduction else c
            spec = genotype.reduce if reduction else genotype.normal
            self.cells.append(_Cell(spec, before, last, c, reduction, halve))
            before, last, halve = last, c * len(spec.concat), reduction
            if index == 2 * cells // 3 and auxiliary:
                self.auxiliary_head = _Auxiliary(last, classes, whole=stem == "cifar")
        self.classifier = nn.Linear(last, classes)


def official(name="pdarts_cifar10", **options) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    network = Official(zoo.genotype(name), **options)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
    return network.state_dict()


def written(path: Path, content) -> Path:
    torch.save(content, path)
    return path
