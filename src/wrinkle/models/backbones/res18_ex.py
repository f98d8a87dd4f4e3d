"""Res18+EX, the baseline of the DHAA paper (Table 1, first row).

A plain ResNet-18 classifies the ages 0–100 and predicts the expectation of its softmax, as Rothe,
Timofte and Van Gool, "Deep expectation of real and apparent age from a single image without facial
landmarks", IJCV 2018, do. It is trained with cross entropy alone.
"""

from wrinkle.models.backbones.resnet import BasicBlock, ResNet
from wrinkle.models.heads import HeadChoice
from wrinkle.models.registry import register


@register
def res18_ex(input_size: int = 256, width: int = 64, head: HeadChoice = "softmax") -> ResNet:
    """The baseline at DHAA's input of 256 pixels; its ages are the paper's, so no field.

    width: channels of the first layer; 16 makes a network of a sixteenth of the parameters.
    """
    return ResNet(BasicBlock, (2, 2, 2, 2), 100, input_size, width, head)
