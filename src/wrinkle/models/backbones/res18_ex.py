"""Res18+EX, the baseline of the DHAA paper (Table 1, first row).

A ResNet-18 classifies the ages 0–100 and predicts the expectation of its softmax, as in Rothe,
Timofte and Van Gool, "Deep expectation of real and apparent age from a single image without facial
landmarks", IJCV 2018. It is trained with cross entropy only.
"""

from wrinkle.models.backbones.resnet import BasicBlock, ResNet
from wrinkle.models.heads import HeadChoice
from wrinkle.models.registry import register


@register
def res18_ex(input_size: int = 256, width: int = 64, head: HeadChoice = "softmax") -> ResNet:
    """The baseline at DHAA's input of 256 pixels; ages 0–100 as in the paper.

    Args:
        input_size: side in pixels of the input.
        width: channels of the first layer; 16 gives a sixteenth of the parameters.
        head: name of the head, or a mapping of its name and fields.
    """
    return ResNet(BasicBlock, (2, 2, 2, 2), 100, input_size, width, head)
