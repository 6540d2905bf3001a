# SSDLite320 with DARTS: separable extra layers and heads (Sandler et al. 2018, section 6.2), for a
# detector whose cost is the backbone's.
#
#   python tools/train.py ssdlite320_darts_v2.py
#
# Expected: no published AP. Table 4 has SSDLite for MobileNet and MnasNet only, AP 22.1 to 23.0 on test-dev.
# Time: about a day on 8 GPUs, an estimate: 120 epochs are 14 million images; not run here.
# Open choices: all in _base_/ssd320.py, each with its reason.
_base_ = ["ssd320_darts_v2.py"]
model = dict(depthwise=True)
