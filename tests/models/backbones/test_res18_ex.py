import torch

from wrinkle.models import create_model


def test_is_resnet18_over_the_papers_ages() -> None:
    model = create_model("res18_ex")
    assert model.ages.tolist() == list(range(101))
    assert model.input_size == 256
    assert sum(p.numel() for p in model.parameters()) == 11_689_512 - 899 * 513


def test_prediction_is_the_expectation_of_the_softmax() -> None:
    model = create_model("res18_ex").eval()
    images = torch.linspace(-1, 1, 3 * 32 * 32).reshape(1, 3, 32, 32)
    with torch.no_grad():
        output = model(images)
        age = model.head.age(output.raw).item()
    weights = [torch.tensor(x, dtype=torch.float64).exp().item() for x in output.raw[0].tolist()]
    assert abs(age - sum(a * w for a, w in enumerate(weights)) / sum(weights)) < 1e-3
