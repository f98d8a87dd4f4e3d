import pytest
import torch

from wrinkle.errors import WrinkleError
from wrinkle.inference.device import choose_device


@pytest.mark.parametrize(
    "name", ["", "gpu", "cpu,cpu", "meta", "cuda:99", "mps:9", "hpu", "xla", "vulkan", "lazy"]
)
def test_devices_that_are_not_available(name: str) -> None:
    with pytest.raises(WrinkleError, match="try --device cpu") as caught:
        choose_device(name)
    assert "\n" not in str(caught.value)


def test_a_device_is_chosen() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device(None).type == ("cuda" if torch.cuda.is_available() else "cpu")
