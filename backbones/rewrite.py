"""The graph of a network of cells rewritten for inference: the same outputs, fewer passes over memory.

A cell reads most of its states through a ReLU, and writes its nodes side by side. Written down as modules that is many
equal ReLUs, and ReLUs that cannot be fused into a convolution. The graph of the whole network shows both.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from backbones.fold import fold
from nas.network import CellBody

# What puts its result into new memory (or, once rewritten, into that of an input which is no longer read).
_FUNCTIONS = (torch.relu, torch.relu_, torch.cat, operator.add, operator.iadd)
_POOLS = (nn.MaxPool2d, nn.AvgPool2d)


def is_network_of_cells(network: nn.Module) -> bool:
    """Whether ``network`` is one that :func:`rewritten` knows how to rewrite."""
    return any(isinstance(module, CellBody) for module in network.modules())


def rewritten(network: nn.Module, *, in_place: bool = False) -> fx.GraphModule:
    """A copy of a network of cells for inference, batch normalisation folded, as a graph of convolutions.

    Every ReLU of a tensor is computed once, and before the nodes of a cell are joined rather than after, where it can
    be part of the convolution or the sum that gives the node. ``in_place`` lets ReLUs and sums overwrite an input that
    is not read afterwards, which eager mode needs and compilers find out themselves.
    """
    with torch.no_grad():  # else a network that recomputes its cells would trace that
        module = fx.symbolic_trace(fold(network))
    graph = module.graph
    _drop_identities(module)
    _relus_as_functions(module)
    _share_relus(graph)
    _relus_before_joins(graph)
    _share_relus(graph)
    _pool_early(module)
    if in_place:
        _overwrite_what_is_read_last(module)
    graph.eliminate_dead_code()
    module.delete_all_unused_submodules()
    graph.lint()
    module.recompile()
    return module


def _drop_identities(module: fx.GraphModule) -> None:
    for node in list(module.graph.nodes):
        if _is_module(node, nn.Identity):
            _replace(node, node.args[0])


def _relus_as_functions(module: fx.GraphModule) -> None:
    for node in list(module.graph.nodes):
        if _is_module(node, nn.ReLU):
            with module.graph.inserting_before(node):
                _replace(node, module.graph.call_function(torch.relu, node.args))


def _share_relus(graph: fx.Graph) -> None:
    first: dict[fx.Node, fx.Node] = {}
    for node in _calls(graph, torch.relu):
        same = first.setdefault(_input(node), node)
        if same is not node:
            _replace(node, same)


def _relus_before_joins(graph: fx.Graph) -> None:
    """relu(cat(a, b)) -> cat(relu(a), relu(b)), if the joined tensor is only read by its ReLU."""
    for node in _calls(graph, torch.relu):
        join = _input(node)
        if join.target is torch.cat and len(join.users) == 1:
            with graph.inserting_before(join):
                parts = [graph.call_function(torch.relu, (part,)) for part in _parts(join)]
            join.args = (parts, *join.args[1:])
            _replace(node, join)


def _pool_early(module: fx.GraphModule) -> None:
    """The average over all pixels taken before joins, sums and 1x1 convolutions, which then see one pixel."""
    for node in list(module.graph.nodes):
        if node.op == "call_method" and node.target == "mean" and dict(node.kwargs) == {"dim": (2, 3)}:
            with module.graph.inserting_before(node):
                _replace(node, module.graph.call_function(torch.flatten, (_average(_input(node)), 1)))


def _average(node: fx.Node) -> fx.Node:
    graph = node.graph
    if len(node.users) == 1:
        if node.target is torch.cat:
            return graph.call_function(torch.cat, ([_average(part) for part in _parts(node)], 1))
        if node.target is operator.add:
            return graph.call_function(operator.add, tuple(map(_average, node.all_input_nodes)))
        if _is_pointwise(node):
            return graph.call_module(str(node.target), (_average(_input(node)),))
    return graph.call_function(functional.adaptive_avg_pool2d, (node, 1))


def _is_pointwise(node: fx.Node) -> bool:
    convolution = _module(node)
    return isinstance(convolution, nn.Conv2d) and convolution.kernel_size == convolution.stride == (1, 1)


def _overwrite_what_is_read_last(module: fx.GraphModule) -> None:
    last = {read: node for node in module.graph.nodes for read in node.all_input_nodes}  # of all, the one that stays
    for node in module.graph.nodes:
        if node.target is torch.relu and last[_input(node)] is node and _is_owned(_input(node)):
            node.target = torch.relu_
        elif node.target is operator.add:
            for one, other in (node.args, node.args[::-1]):
                if one is not other and last[one] is node and _is_owned(one):
                    node.target, node.args = operator.iadd, (one, other)
                    break


def _is_owned(node: fx.Node) -> bool:
    """Whether the memory of ``node`` is its own: it is not an input or view of something else, and has no views."""
    return _allocates(node) and all(_allocates(user) or _is_module(user, _POOLS) for user in node.users)


def _allocates(node: fx.Node) -> bool:
    return _is_module(node, nn.Conv2d) or node.target in _FUNCTIONS


def _is_module(node: fx.Node, kind: type[nn.Module] | tuple[type[nn.Module], ...]) -> bool:
    return isinstance(_module(node), kind)


def _module(node: fx.Node) -> nn.Module | None:
    owner = node.graph.owning_module
    return owner.get_submodule(str(node.target)) if owner is not None and node.op == "call_module" else None


def _calls(graph: fx.Graph, function: Callable[..., Any]) -> list[fx.Node]:
    return [node for node in graph.nodes if node.target is function]


def _input(node: fx.Node) -> fx.Node:
    (read,) = node.all_input_nodes
    return read


def _parts(join: fx.Node) -> Iterable[Any]:
    parts = join.args[0]
    assert isinstance(parts, list | tuple)
    return parts


def _replace(node: fx.Node, other: Any) -> None:
    node.replace_all_uses_with(other)
    node.graph.erase_node(node)
