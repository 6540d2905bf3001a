"""Sizes of the sets that the tests of re-identification draw."""

from reid.draw import SetSize

TINY = {
    "market1501": SetSize(12, 60, 6, 14, 26, distractors=4, junk=3),
    "dukemtmcreid": SetSize(12, 60, 6, 14, 26, distractors=4),
    "msmt17": SetSize(12, 60, 6, 14, 26, val=6),
}
