"""The genotype: every way in, every way to be wrong."""

import pytest

from nas import Genotype, zoo
from nas.errors import UnknownName
from nas.genotype import GenotypeError

CLASSIC = (
    "Genotype(normal=[('skip_connect', 0), ('dil_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 3), ('sep_conv_3x3', 0), ('dil_conv_5x5', 4)], normal_concat=range(2, 6), "
    "reduce=[('avg_pool_3x3', 0), ('sep_conv_5x5', 1), ('sep_conv_3x3', 0), ('dil_conv_5x5', 2), ('max_pool_3x3', 0), "
    "('dil_conv_3x3', 1), ('dil_conv_3x3', 1), ('dil_conv_5x5', 3)], reduce_concat=range(2, 6))"
)


def cell(nodes, concat=(2, 3, 4, 5)):
    return {"nodes": nodes, "concat": list(concat)}


GOOD = cell([[["skip_connect", 0], ["sep_conv_3x3", 1]]], [2])


def test_classic_text_gives_the_zoo_cell():
    assert Genotype.load(CLASSIC) == Genotype.load("pdarts_cifar10")
    assert Genotype.load(f"PDARTS = {CLASSIC}") == Genotype.load("pdarts_cifar10")


def test_classic_text_round_trips():
    genotype = Genotype.load("darts_v2")
    assert Genotype.load(genotype.to_text()) == genotype


@pytest.mark.parametrize("name", zoo.names())
def test_dict_and_file_round_trip(name, tmp_path):
    genotype = Genotype.load(name)
    genotype.save(tmp_path / "cell.json")
    assert Genotype.load(tmp_path / "cell.json") == genotype == Genotype.load(genotype.to_dict())
    assert Genotype.load(str(tmp_path / "cell.json")).digest == genotype.digest


def test_a_genotype_is_an_immutable_value():
    genotype = Genotype.load("pdarts_cifar10")
    with pytest.raises(AttributeError):
        genotype.normal = genotype.reduce
    assert hash(genotype) == hash(Genotype.load("pdarts_cifar10"))
    assert genotype.digest != Genotype.load("darts_v2").digest


@pytest.mark.parametrize(
    ("normal", "message"),
    [
        (cell([[["skip_conect", 0], ["sep_conv_3x3", 1]]], [2]), r"normal cell, node 2, edge 0: .*'skip_connect'"),
        (
            cell([[["skip_connect", 0], ["sep_conv_3x3", 2]]], [2]),
            r"normal cell, node 2, edge 1: input 2 is out of range",
        ),
        (cell([[["skip_connect", 0], ["sep_conv_3x3", -1]]], [2]), r"node 2, edge 1: input -1 is out of range"),
        (cell([[["skip_connect", "a"]]], [2]), r"node 2, edge 0: the input must be an integer"),
        (cell([[["skip_connect", True]]], [2]), r"node 2, edge 0: the input must be an integer"),
        (cell([[["skip_connect", 0]], []], [2]), r"normal cell, node 3: it has no inputs"),
        (cell([[["skip_connect", 0]]], []), r"normal cell: it concatenates nothing"),
        (cell([[["skip_connect", 0]]], [2, 2]), r"concatenated twice"),
        (cell([[["skip_connect", 0]]], [3]), r"concatenates state 3; its nodes are 2 to 2"),
        (cell([], [2]), r"normal cell: it has no nodes"),
        (cell([[["skip_connect"]]], [2]), r"node 2: an edge is \[operation, input\]"),
        (None, r"normal cell: the genotype has no 'normal'"),
    ],
)
def test_errors_name_the_cell_the_node_and_the_edge(normal, message):
    with pytest.raises(GenotypeError, match=message):
        Genotype.load({"normal": normal, "reduce": GOOD})


def test_the_reduction_cell_is_named_too():
    with pytest.raises(GenotypeError, match=r"reduction cell, node 2, edge 0"):
        Genotype.load({"normal": GOOD, "reduce": cell([[["pool", 0]]], [2])})


def test_an_odd_number_of_classic_edges_is_refused():
    with pytest.raises(GenotypeError, match=r"normal cell, node 3: 3 edges"):
        Genotype.load({"normal": [["skip_connect", 0]] * 3, "normal_concat": [2], "reduce": GOOD})


@pytest.mark.parametrize(
    "text", ["Genotype(normal=[('a', 0)", "Genotype(normal=__import__('os').system('x'))", "{not: [yaml", "{a: 1}"]
)
def test_text_that_is_no_genotype_is_refused_and_never_executed(text):
    with pytest.raises(GenotypeError):
        Genotype.load(text)


TEMPLATE = (
    "Genotype(normal=[('skip_connect', 0), ('skip_connect', 1)], normal_concat=HERE, reduce=[], reduce_concat=[2])"
)


@pytest.mark.parametrize(
    ("concat", "message"),
    [
        (
            "range(2, 2+4)",
            r"not a genotype: normal_concat is range\(2, 2 \+ 4\); write whole numbers, as in range\(2, 6\)",
        ),
        ("range('a')", r"normal_concat is range\('a'\); write whole numbers"),
        ("range()", r"normal_concat is range\(\); write whole numbers"),
        ("range(2, 6, 0)", r"normal_concat is range\(2, 6, 0\); write whole numbers"),
        ("range(10**9)", r"normal_concat is range\(10 \*\* 9\); write whole numbers"),
        ("range(1000000000000)", r"normal_concat is range\(1000000000000\), more than 100 states"),
        ("{[]: 1}", r"normal_concat is not a plain list"),
        ("list(2)", r"normal_concat is not a plain list"),
        ("[[2], [3]]", r"normal cell: it concatenates state \[2\]"),
        ("(" * 5000 + ")" * 5000, r"not a genotype"),
    ],
)
def test_what_is_wrong_in_a_classic_text_is_said(concat, message):
    with pytest.raises(GenotypeError, match=message):
        Genotype.load(TEMPLATE.replace("HERE", concat))


@pytest.mark.parametrize("name", ["cell (1).json", "Genotype(1).json", "Genotype(normal=[])", "{cell}.txt"])
def test_a_path_with_brackets_is_a_path(tmp_path, monkeypatch, name):
    genotype = Genotype.load("darts_v2")
    genotype.save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert Genotype.load(str(tmp_path / name)) == Genotype.load(tmp_path / name) == Genotype.load(name) == genotype


def test_a_path_with_brackets_that_is_missing_is_said(tmp_path):
    with pytest.raises(GenotypeError, match=r"genotype file .*cell \(1\)\.json does not exist"):
        Genotype.load(str(tmp_path / "cell (1).json"))
    with pytest.raises(UnknownName, match=r"unknown .*'cell \(1\)'"):
        Genotype.load("cell (1)")


def test_missing_file_and_unknown_name_say_what_is_missing(tmp_path):
    with pytest.raises(GenotypeError, match=r"gone\.json does not exist"):
        Genotype.load(tmp_path / "gone.json")
    with pytest.raises(UnknownName, match=r"did you mean .*'pdarts_cifar10'"):
        Genotype.load("pdarts_cifar")


def test_structure_of_the_published_pdarts_cell():
    normal = Genotype.load("pdarts_cifar10").normal
    assert normal.skips == 2  # the restriction of section 5.1.1
    assert normal.longest_path == 3  # c_{k-1} -> 3 -> 4 -> ... : node 4 reads node 3, node 5 reads node 4
    assert normal.levels == {0: 0, 1: 0, 2: 1, 3: 1, 4: 2, 5: 3}
