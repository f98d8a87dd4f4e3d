"""DHAA: its parts counted by hand, its ablations, its start from a ResNet-18, its key points."""

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from wrinkle.errors import WrinkleError
from wrinkle.faces.align import TEMPLATE
from wrinkle.layers import AlignedRegionPooling
from wrinkle.models import create_model, load_initial
from wrinkle.models.dhaa import DHAA, FEATURES, widened
from wrinkle.models.face_regions import REGIONS, RegionPooling, face_points, region_points
from wrinkle.models.pretrained import fill

SMALL = {"input_size": 64, "width": 4}


def faces(count: int = 2, size: int = 64) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    points = torch.tensor(TEMPLATE * 0.8, dtype=torch.float32).expand(count, 5, 2)
    return torch.randn(count, 3, size, size), points + 0.02 * torch.randn(count, 5, 2)


def small(**fields: object) -> DHAA:
    torch.manual_seed(0)
    model = create_model("dhaa", **SMALL, **fields).eval()
    assert isinstance(model, DHAA)
    return model


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def convolution(inputs: int, outputs: int, kernel: int) -> int:
    """With its batch norm."""
    return inputs * outputs * kernel**2 + 2 * outputs


def layer(inputs: int, outputs: int) -> int:
    """Two blocks of two 3×3 convolutions, and a shortcut where the channels change."""
    shortcut = convolution(inputs, outputs, 1) if inputs != outputs else 0
    return convolution(inputs, outputs, 3) + 3 * convolution(outputs, outputs, 3) + shortcut


@pytest.mark.parametrize("w", [64, 16])
def test_parameters_equal_a_count_by_hand(w: int) -> None:
    model = create_model("dhaa", width=w)
    assert isinstance(model, DHAA)
    trunk = convolution(3, w, 7) + layer(w, w)
    head = convolution(8 * w, 128, 1) + 128 * 128 + 128
    regional = layer(2 * w, 4 * w) + layer(4 * w, 8 * w) + head
    # c_k's layer 3 reads 2·2w channels, as many as it gives, yet halves the side: a shortcut still.
    joint = layer(4 * w, 4 * w) + convolution(4 * w, 4 * w, 1) + layer(4 * w, 8 * w) + head
    fusion = 4 * 128 * (128 + 128 + 2)
    assert parameters(model.layer1) + parameters(model.conv1) + parameters(model.bn1) == trunk
    assert parameters(model.layer2) == 6 * layer(w, 2 * w)
    assert parameters(model.sub_networks["g1"]) == parameters(model.sub_networks["l3"]) == regional
    assert parameters(model.sub_networks["c2"]) == joint
    assert parameters(model.fusion) == 3 * fusion
    assert parameters(model.sub_heads) == 9 * 129 * 101
    assert parameters(model.head) == 385 * 101
    total = trunk + 6 * layer(w, 2 * w) + 6 * regional + 3 * joint + 3 * fusion
    total += 9 * 129 * 101 + 385 * 101
    assert parameters(model) == total
    assert total == {64: 100_028_082, 16: 7_038_018}[w]


def test_regions_have_the_papers_size() -> None:
    assert create_model("dhaa").pooling.size == 56  # type: ignore[union-attr]
    assert create_model("dhaa", input_size=128).pooling.size == 28  # type: ignore[union-attr]


def test_ten_classifiers_in_the_order_of_figure_6() -> None:
    model = small()
    expected = ["DHAA", *(f"{b}-{k}" for b in ("G", "L", "GL") for k in (1, 2, 3))]
    assert list(model.classifiers) == expected
    output = model(*faces())
    assert output.raw.shape == (2, 101)
    assert list(output.sub) == list(model.sub_heads) == expected[1:]
    assert all(sub.shape == (2, 101) for sub in output.sub.values())
    every = model.predict_all(*faces(), mirror=False)
    assert every.distribution.shape == (2, 10, 101)
    assert every.age.shape == (2, 10)
    torch.testing.assert_close(every.distribution[:, 0], output.raw.softmax(-1))
    torch.testing.assert_close(every.distribution[:, 6], output.sub["L-3"].softmax(-1))
    torch.testing.assert_close(every.age[:, 6], output.sub["L-3"].softmax(-1) @ model.ages)


@torch.no_grad()
def test_each_sub_network_has_its_own_head() -> None:
    model = small()
    before = model(*faces())
    for index, name in enumerate(model.sub_networks):
        model.sub_networks[name].fc.bias += 1
        after = model(*faces())
        changed = [n for n in before.sub if not torch.equal(before.sub[n], after.sub[n])]
        assert changed == [list(model.sub_heads)[index]]
        before = after


@torch.no_grad()
def test_forward_is_sections_2_2_to_2_4() -> None:
    """The road of one face, written out for the global and the global-local branch."""
    model = small()
    images, points = faces(1)
    x = model.layer1(model.maxpool(model.relu(model.bn1(model.conv1(images)))))
    regions = model.pooling(x, points)
    assert list(regions) == ["g1", "g2", "g3", "l1", "l2", "l3"]
    torch.testing.assert_close(
        regions["g1"], nn.functional.interpolate(x, size=(14, 14), mode="bilinear")
    )

    def z(name: str, cb2: Tensor) -> Tensor:
        part = model.sub_networks[name]
        y = part.layer4(part.layer3(cb2))
        return part.fc(part.relu(part.bn(part.conv(y))).mean((2, 3)))

    cb2 = {name: model.layer2[name](region) for name, region in regions.items()}
    h = []
    for branch in "glc":
        features = []
        for k in "123":
            joint = torch.cat([cb2[f"g{k}"], cb2[f"l{k}"]], 1)
            features.append(z(branch + k, joint if branch == "c" else cb2[branch + k]))
        h.append(model.fusion[branch].lstm(torch.stack(features, 1))[0].sum(1))
    torch.testing.assert_close(model(images, points).raw, model.head(torch.cat(h, 1)))


@pytest.mark.parametrize(
    ("branches", "subs", "layer2"),
    [
        ("global", ["g"], ["g"]),
        ("local", ["l"], ["l"]),
        ("global-local", ["c"], ["g", "l"]),
        ("local+global", ["g", "l"], ["g", "l"]),
        ("global+local+global-local", ["g", "l", "c"], ["g", "l"]),
    ],
)
def test_any_subset_of_branches_and_nothing_idle(
    branches: str, subs: list[str], layer2: list[str]
) -> None:
    model = small(branches=branches).train()
    assert list(model.sub_networks) == [f"{b}{k}" for b in subs for k in "123"]
    assert list(model.layer2) == [f"{b}{k}" for b in layer2 for k in "123"]
    output = model(*faces())
    (output.raw.sum() + sum(sub.square().sum() for sub in output.sub.values())).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []
    assert model.head.fc.in_features == FEATURES * len(subs)


def test_other_ablations() -> None:
    images, points = faces()
    plain = small(sub_losses=False)
    assert list(plain.classifiers) == ["DHAA"]
    assert plain(images, points).sub == plain(images, points).extra == {}
    assert len(plain.sub_heads) == 0
    assert small(fusion="fc")(images, points).raw.shape == (2, 101)
    roi = small(pooling="roi")
    # The same weights, other regions.
    assert parameters(roi) == parameters(small())
    assert not torch.allclose(roi(images, points).raw, small()(images, points).raw)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"branches": "global+lokal"}, "unknown branch 'lokal' in 'global.lokal'; choices, joined"),
        ({"branches": ""}, "unknown branch ''"),
        ({"pooling": "max"}, "pooling is 'max'; choices: 'arp'.*'roi'"),
        ({"fusion": "gru"}, "fusion is 'gru'; choices: 'lstm'.*'fc'"),
        ({"width": 0}, "width is 0"),
        ({"input_size": 31}, "input_size is 31"),
    ],
)
def test_wrong_fields_are_one_line(fields: dict[str, object], line: str) -> None:
    with pytest.raises(WrinkleError, match=line):
        create_model("dhaa", **{**SMALL, **fields})


@pytest.mark.parametrize(
    ("images", "points", "line"),
    [
        ((2, 3, 64, 64), None, r"by key points: give \(B, 5, 2\)"),
        ((2, 3, 64, 64), (1, 5, 2), r"2 images need key points \(2, 5, 2\), not \(1, 5, 2\)"),
        ((2, 3, 64, 64), (2, 10), r"not \(2, 10\)"),
        ((2, 3, 64, 64), (2, 21, 2), "21 key points"),
        ((3, 64, 64), (3, 5, 2), r"\(B, 3, H, W\) of 32 pixels or more, B ≥ 1, not \(3, 64, 64\)"),
        ((2, 1, 64, 64), (2, 5, 2), r"not \(2, 1, 64, 64\)"),
        ((2, 3, 16, 16), (2, 5, 2), r"not \(2, 3, 16, 16\)"),
        ((0, 3, 64, 64), (0, 5, 2), r"not \(0, 3, 64, 64\)"),
    ],
)
def test_wrong_inputs_are_one_line(
    images: tuple[int, ...], points: tuple[int, ...] | None, line: str
) -> None:
    with pytest.raises(WrinkleError, match=line) as caught:
        small()(torch.zeros(images), None if points is None else torch.zeros(points))
    assert "\n" not in str(caught.value)


@torch.no_grad()
def test_a_mirrored_face_is_predicted_the_same() -> None:
    model, (images, points) = small(), faces()
    mirrored = points[:, [1, 0, 2, 4, 3]] * torch.tensor([-1.0, 1.0])
    plain, flipped = model.predict_all(images, points), model.predict_all(images.flip(-1), mirrored)
    torch.testing.assert_close(plain.distribution, flipped.distribution)
    torch.testing.assert_close(plain.age, flipped.age)
    wrong = model.predict_all(images.flip(-1), points * torch.tensor([-1.0, 1.0]))
    assert (wrong.distribution - plain.distribution).abs().max() > 1e-4


@torch.no_grad()
def test_points_that_are_no_face_give_numbers() -> None:
    model, (images, points) = small(), faces()
    points = points.clone()
    points[0] = float("nan")
    assert all(part.isfinite().all() for part in model.predict(images, points))
    pools = model.pooling.pools
    assert [pools[n].fallbacks.tolist() for n in pools] == [[0, 2]] * 5  # and the mirror picture's


def resnet_state(width: int = 4) -> dict[str, Tensor]:
    torch.manual_seed(2)
    state = create_model("resnet18", width=width).state_dict()
    return {n: torch.rand_like(t) if t.is_floating_point() else t for n, t in state.items()}


def test_a_resnet_18_fills_the_trunk_and_every_sub_network(tmp_path: object) -> None:
    state = resnet_state()
    path = f"{tmp_path}/resnet18.safetensors"
    save_file(state, path)
    model = small()
    before = {n: t.clone() for n, t in model.state_dict().items()}
    load_initial(model, path)
    after = model.state_dict()
    for name in ("conv1.weight", "bn1.running_var", "layer1.1.conv2.weight"):
        assert torch.equal(after[name], state[name])
    for k in "123":
        for b in "gl":
            place = f"layer2.{b}{k}.0.conv1.weight"
            assert torch.equal(after[place], state["layer2.0.conv1.weight"])
            place = f"sub_networks.{b}{k}.layer3.0.downsample.0.weight"
            assert torch.equal(after[place], state["layer3.0.downsample.0.weight"])
        place = f"sub_networks.c{k}.layer3.0.conv1.weight"
        assert torch.equal(after[place], widened(state["layer3.0.conv1.weight"]))
        place = f"sub_networks.c{k}.layer4.1.bn2.bias"
        assert torch.equal(after[place], state["layer4.1.bn2.bias"])
    fresh = ("head.", "fusion.", "sub_heads.", "sub_networks.g1.fc", "sub_networks.c3.conv")
    for name, tensor in before.items():
        if name.startswith(fresh):
            assert torch.equal(after[name], tensor), name


@torch.no_grad()
def test_a_global_local_sub_network_starts_as_the_global_one(tmp_path: object) -> None:
    path = f"{tmp_path}/resnet18.safetensors"
    save_file(resnet_state(), path)
    model = small()
    load_initial(model, path)
    g, c = (model.sub_networks[name].layer3 for name in ("g2", "c2"))
    face, eye = torch.rand(2, 1, 8, 14, 14)
    torch.testing.assert_close(c(torch.cat([face, eye], 1)), g(face))


@pytest.mark.slow
def test_another_dhaa_is_taken_as_it_is(tmp_path: object) -> None:
    torch.manual_seed(5)
    other, path = create_model("dhaa", **SMALL), f"{tmp_path}/dhaa.safetensors"
    save_file(other.state_dict(), path)
    model = small()
    classifier = model.head.fc.weight.clone()
    load_initial(model, path, classifier=False)
    assert torch.equal(model.head.fc.weight, classifier)
    load_initial(model, path)
    for name, tensor in other.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), name


@pytest.mark.parametrize(
    ("name", "fields", "line"),
    [
        ("resnet18", {"width": 8}, "it has another shape for"),
        ("resnet34", {"width": 4}, "it has also layer1.2"),
        ("efficientnet_lite0", {}, "it lacks"),
        ("dhaa", {**SMALL, "branches": "global"}, "it lacks"),
    ],
)
def test_a_file_of_another_network_is_one_line(
    tmp_path: object, name: str, fields: dict[str, object], line: str
) -> None:
    path = f"{tmp_path}/other.safetensors"
    save_file(create_model(name, **fields).state_dict(), path)
    with pytest.raises(WrinkleError, match=f"other.safetensors holds another network: {line}"):
        load_initial(small(), path)


def test_regions_are_those_of_the_layer() -> None:
    features, points = torch.randn(2, 3, 16, 16), faces()[1]
    regions = RegionPooling("arp", 14, REGIONS)(features, points)
    for name, region in REGIONS.items():
        pool = AlignedRegionPooling(region.target_points, 14)
        expected = pool(features, region_points(face_points(points), region))
        torch.testing.assert_close(regions[name], expected)


def test_no_part_below_a_classifier_starts_near_zero() -> None:
    for fusion in ("lstm", "fc"):
        model = create_model("dhaa", fusion=fusion, **SMALL)
        for name, parameter in model.named_parameters():
            head = name.startswith(("head.", "sub_heads."))
            if parameter.ndim == 2:
                assert (parameter.std().item() < 0.02) == head, name


def test_sub_losses_may_differ_from_those_of_the_start(tmp_path: object) -> None:
    for start, then in ((True, False), (False, True)):
        torch.manual_seed(6)
        other, path = create_model("dhaa", sub_losses=start, **SMALL), f"{tmp_path}/a.safetensors"
        save_file(other.state_dict(), path)
        model = small(sub_losses=then)
        load_initial(model, path)
        for name in ("conv1.weight", "fusion.g.lstm.weight_hh_l0", "head.fc.weight"):
            assert torch.equal(model.state_dict()[name], other.state_dict()[name])


@pytest.mark.parametrize(
    ("points", "line"),
    [
        (None, r"2 images need key points \(2, 5, 2\), not None"),
        (torch.zeros(2, 5, 3), r"not \(2, 5, 3\)"),
        (torch.zeros(5), r"not \(5,\)"),
        (torch.zeros(5, 2), r"not \(5, 2\)"),
        (torch.zeros(3, 5, 2), r"not \(3, 5, 2\)"),
        (torch.zeros(2, 7, 2), "7 key points"),
    ],
)
def test_wrong_points_to_predict_with_are_one_line(points: Tensor | None, line: str) -> None:
    for mirror in (True, False):
        with pytest.raises(WrinkleError, match=line):
            small().predict(faces()[0], points, mirror)  # type: ignore[arg-type]


@torch.no_grad()
def test_one_bad_point_costs_only_the_regions_that_need_it() -> None:
    model, (images, points) = small(), faces()
    points = points.clone()
    points[0, 4] = float("nan")  # a corner of the mouth
    assert model(images, points).raw.isfinite().all()
    pools = model.pooling.pools
    counted = {name: pools[name].fallbacks.tolist() for name in pools}
    assert counted["l2"] == [0, 0]
    assert counted["l3"] == counted["g2"] == [0, 1]


def dlib_pair() -> tuple[nn.Module, DHAA]:
    """dlib's network with random weights, and a DHAA that starts from it."""
    torch.manual_seed(3)
    network = create_model("dlib_resnet").eval()
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.uniform_(-0.1, 0.1)  # type: ignore[union-attr]
    model = create_model(
        "dhaa", trunk="dlib_resnet", input_size=150, branches="global+global-local"
    )
    assert isinstance(model, DHAA)
    fill(model, network.state_dict(), "dlib's network")
    return network, model.eval()


@pytest.mark.slow
@torch.no_grad()
def test_from_dlibs_levels_every_sub_network_computes_what_they_do() -> None:
    network, model = dlib_pair()
    images = faces(1, 150)[0]
    x = network.maxpool(network.relu(network.bn1(network.conv1(images))))  # type: ignore[operator]
    first, *others = network.levels  # type: ignore[misc]
    torch.testing.assert_close(
        model.layer1(model.maxpool(model.relu(model.bn1(model.conv1(images))))), first(x)
    )
    region, eye = torch.rand(2, 1, 32, 31, 31)
    expected = region
    for level in others:
        expected = level(expected)
    g, c = model.sub_networks["g3"], model.sub_networks["c3"]
    cb2 = model.layer2["g3"](region)
    torch.testing.assert_close(g.layer4(g.layer3(cb2)), expected)
    joint = torch.cat([cb2, model.layer2["l3"](eye)], 1)
    torch.testing.assert_close(c.layer4(c.layer3(joint)), expected)
    assert model.pooling.size == 31
    assert model.mean == network.mean


@pytest.mark.slow
def test_face_recognition_weights_get_statistics_before_training() -> None:
    model = dlib_pair()[1]
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.reset_running_stats()
    images = faces(4, 150)[0] * 0.1 + 0.5
    with torch.no_grad():
        before = model.layer1(model.maxpool(model.relu(model.bn1(model.conv1(images)))))
        model.before_training([images], torch.zeros(4))
        after = model.layer1(model.maxpool(model.relu(model.bn1(model.conv1(images)))))
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-3)
    assert model.bn1.running_mean is not None
    assert model.bn1.running_mean.any()
    fresh = model.sub_networks["g1"].bn
    assert torch.equal(fresh.weight, torch.ones(FEATURES))
    assert not fresh.running_mean.any()
    mean = model.bn1.running_mean.clone()
    model.before_training([images + 1], torch.zeros(4))
    assert torch.equal(model.bn1.running_mean, mean)


def test_what_starts_at_random_is_what_a_resnet_does_not_give(tmp_path: object) -> None:
    path = f"{tmp_path}/resnet18.safetensors"
    save_file(resnet_state(), path)
    model = small()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    load_initial(model, path)
    kept = {n for n, p in model.named_parameters() if torch.equal(p, before[n])}
    assert kept == {n for n in before if model.starts_at_random(n)}
    for part in ("conv.weight", "bn.bias", "fc.weight"):
        assert f"sub_networks.l2.{part}" in kept
    assert "fusion.c.lstm.weight_hh_l0" in kept


def test_the_trunk_is_checked() -> None:
    for fields, line in (
        ({"trunk": "vgg"}, "trunk is 'vgg'; choices: .*dlib_resnet"),
        ({"trunk": "dlib_resnet", "input_size": 146}, "DHAA's regions need 147 pixels"),
    ):
        with pytest.raises(WrinkleError, match=line):
            create_model("dhaa", **fields)
    assert create_model("dhaa", trunk="dlib_resnet", input_size=147, width=4) is not None
