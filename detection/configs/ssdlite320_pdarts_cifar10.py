# SSDLite320 with P-DARTS (CIFAR10): separable extra layers and heads (Sandler et al. 2018), for a detector whose cost
# is the backbone's. Table 4 has SSDLite for MobileNet and MnasNet only (AP 22.1 to 23.0): no published AP to expect.
#
#   python tools/train.py ssdlite320_pdarts_cifar10.py
_base_ = ["ssd320_pdarts_cifar10.py"]
model = dict(depthwise=True)
