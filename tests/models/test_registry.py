import re

import pytest

from wrinkle.errors import WrinkleError
from wrinkle.models import create_model, list_models


def test_the_networks_are_listed() -> None:
    names = list_models()
    assert names == sorted(names)
    assert {"efficientnet_lite0", "res18_ex", "resnet18", "resnet34", "resnet50"} <= set(names)


def test_fields_reach_the_entry_point() -> None:
    model = create_model("efficientnet_lite0", max_age=7, input_size=96, dropout=0)
    assert model.ages.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert model.input_size == 96


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("resnt18", {}, "unknown model 'resnt18'.*'resnet18'.*choices: adpf, adpf_a"),
        ("zzz", {}, "unknown model 'zzz'; choices: adpf, adpf_attention"),
        (
            "resnet18",
            {"maxage": 1},
            "resnet18 has no field 'maxage'.*'max_age'.*choices: max_age",
        ),
        ("res18_ex", {"max_age": 1}, "res18_ex has no field 'max_age'; choices: input_size"),
        ("resnet18", {"max_age": "80"}, "max_age is '80'.*integer"),
        ("resnet18", {"max_age": True}, "max_age is True.*integer"),
        ("efficientnet_lite0", {"dropout": None}, "dropout is None.*number"),
        ("efficientnet_lite0", {"dropout": 1.0}, "dropout is 1.0; it must be"),
        ("efficientnet_lite0", {"dropout": float("nan")}, "dropout is nan"),
    ],
)
def test_wrong_names_and_fields_give_one_line(
    name: str, fields: dict[str, object], message: str
) -> None:
    with pytest.raises(WrinkleError) as caught:
        create_model(name, **fields)
    assert re.search(message, str(caught.value))
    assert "\n" not in str(caught.value)
