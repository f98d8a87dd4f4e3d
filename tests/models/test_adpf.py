"""AttentionNet and FusionNet: what the paper says of them, and every ablation."""

import pytest
import torch
from torch import Tensor

from wrinkle.errors import WrinkleError
from wrinkle.inference import prepared as inference
from wrinkle.inference.prepared import PackedConv2d
from wrinkle.layers import crop_patches, patch_boxes, patch_maps
from wrinkle.models import Extras, Output, create_model
from wrinkle.models.adpf import ADPF
from wrinkle.models.attention_net import AttentionNet, PoolingAttentionNet
from wrinkle.models.backbones.resnet import ResNet
from wrinkle.models.cost import costs
from wrinkle.models.fusion_blocks import JoinedBlock
from wrinkle.models.fusion_net import jittered, moved
from wrinkle.models.heads.rectified import rectified_distribution
from wrinkle.models.pretrained import fill

SMALL = {"input_size": 64, "width": 4, "channels": 20}


def attention(**fields: object) -> AttentionNet:
    torch.manual_seed(0)
    model = create_model("adpf_attention", **{**SMALL, **fields})
    assert isinstance(model, AttentionNet)
    return model.eval()


def whole(**fields: object) -> ADPF:
    torch.manual_seed(0)
    model = create_model("adpf", **{**SMALL, "patch_size": 32, **fields})
    assert isinstance(model, ADPF)
    return model.eval()


def pictures(count: int = 2, size: int = 64) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(count, 3, size, size)


def with_boxes(model: ADPF, images: Tensor, boxes: Tensor) -> Output:
    """The output for patches at given places (B, n, 4) of the images."""
    output: Output = model(
        images, None, Extras({"boxes": boxes}, torch.eye(2, 3).expand(len(images), 2, 3))
    )
    return output


def test_full_size_is_the_papers() -> None:
    model = create_model("adpf")
    parts = {row.part: row for row in costs(model)}
    assert round(parts["total"].parameters / 1e6, 1) == 13.0  # the paper: about 14
    assert parts["total"].parameters == sum(p.numel() for p in model.parameters())
    assert isinstance(model, ADPF)
    net = model.attention
    with torch.no_grad():
        x = net.rmhha(torch.zeros(1, 500, 32, 32))
        assert net.maps(torch.zeros(1, 3, 128, 128)).shape == x.shape == (1, 5, 32, 32)


def test_multiply_adds_of_attention_by_hand() -> None:
    parts = {row.part: row for row in costs(create_model("adpf_attention"))}
    c, k, positions = 100, 16, 32 * 32
    linear = positions * c * (k + k + c) + 2 * c * c // 4  # Q, K, CA; FC1 and FC2
    values = c * c + positions * c
    scores = positions**2 * (k + 1) + positions * (32 + 32) * k
    assert parts["rmhha"].multiply_adds == 5 * (linear + values + scores)
    assert parts["conv2"].multiply_adds == positions * 256 * 500


def test_raw_output_is_fc_of_the_concatenated_weighted_maps() -> None:
    net = attention()
    with torch.no_grad():
        net.rmhha.scales.copy_(torch.tensor([1.0, -2.0, 0.5, 3.0, 0.0]))
        output = net(pictures())
        maps = output.extra["maps"]
        expected = maps.flatten(1) @ net.head.fc.weight.T + net.head.fc.bias
    assert maps.shape == (2, 5, 16, 16)
    assert not maps[:, 4].any()
    torch.testing.assert_close(output.raw, expected)


@pytest.mark.parametrize("heads", [1, 2, 3, 4, 5, 6])
def test_any_number_of_heads(heads: int) -> None:
    model = whole(heads=heads)
    assert model.patches == heads
    assert model.find_patches(pictures()).shape == (2, heads, 4)
    assert model(pictures()).raw.shape == (2, 101)


def test_stride_8_has_a_quarter_of_the_positions() -> None:
    assert attention(stride=8).maps(pictures()).shape == (2, 5, 8, 8)


def test_self_attention_counts_every_channel_alike() -> None:
    names = [n for n, _ in attention(attention="self").named_parameters()]
    assert not any("channel_attention" in name for name in names)
    assert any("channel_attention" in name for name, _ in attention().named_parameters())


def test_patches_are_those_of_the_maps_by_falling_scale() -> None:
    model, images = whole(), pictures()
    net = model.attention
    with torch.no_grad():
        net.rmhha.scales.copy_(torch.tensor([0.1, 0.5, -0.3, 0.9, 0.2]))
        maps = net.maps(images)
    order = [3, 1, 4, 0, 2]
    torch.testing.assert_close(model.ranked_maps(images), maps[:, order])
    torch.testing.assert_close(model.find_patches(images), patch_boxes(maps[:, order], 64))
    unranked = whole(ranking=False)
    unranked.load_state_dict(model.state_dict())
    torch.testing.assert_close(unranked.find_patches(images), patch_boxes(maps, 64))


def test_permuting_the_scales_permutes_the_patches() -> None:
    model, images = whole(), pictures()
    scales, order = torch.tensor([0.5, 0.4, 0.3, 0.2, 0.1]), torch.tensor([2, 0, 4, 1, 3])
    with torch.no_grad():
        model.attention.rmhha.scales.copy_(scales)
        before = model.find_patches(images)
        model.attention.rmhha.scales[order] = scales
    # A scale that is only larger changes no shape, so the same boxes come in another order.
    torch.testing.assert_close(model.find_patches(images), before[:, order])


def test_p1_passes_all_blocks_and_p5_the_last() -> None:
    """Eq. 8: block k reads the concatenation of the stream and of P_k's features."""
    model, images = whole(), pictures()
    boxes = model.find_patches(images)
    patches = crop_patches(images, patch_maps(boxes), 32)
    with torch.no_grad():
        x = torch.relu(model.bn1(model.conv1(images)))
        x = torch.nn.functional.max_pool2d(x, 3, 2, 1)
        widths = []
        for k in range(5):
            p = model.patch_blocks[k](patches[:, k])
            p = torch.nn.functional.adaptive_avg_pool2d(p, x.shape[-1])
            widths.append((x.shape[1], x.shape[-1]))
            assert p.shape == x.shape
            x = model.blocks[k](torch.cat([x, p], 1))
        expected = model.head(x.flatten(1))
    assert widths == [(4, 16), (4, 16), (8, 8), (8, 8), (16, 4)]
    assert x.shape[1:] == (32, 2, 2)
    torch.testing.assert_close(model(images).raw, expected)
    torch.testing.assert_close(with_boxes(model, images, boxes).raw, expected)


def test_patches_start_quiet() -> None:
    """A tenth of the face's weight, in both ways into a block."""
    for block in create_model("adpf", width=16).blocks:
        for weight in (block.conv1.weight.detach(), block.downsample[0].weight.detach()):
            face, patch = weight.chunk(2, 1)
            assert 0.08 < float(patch.std() / face.std()) < 0.12


def test_each_patch_matters() -> None:
    model, images = whole(), pictures()
    boxes = model.find_patches(images)
    expected = with_boxes(model, images, boxes).raw
    for k in range(5):
        shifted = boxes.clone()
        shifted[:, k] += 0.3
        assert not torch.allclose(with_boxes(model, images, shifted).raw, expected, atol=1e-6)


def test_attention_net_stays_frozen_in_training() -> None:
    model = whole()
    model.train()
    before = {n: t.clone() for n, t in model.attention.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1)
    model(pictures()).raw.square().mean().backward()
    optimizer.step()
    after = model.attention.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not model.attention.training
    assert model.blocks.training
    assert all(p.grad is None for p in model.attention.parameters())


def test_rectified_softmax_is_eq_9() -> None:
    net = attention(head="rectified")
    with torch.no_grad():
        net.head.fc.bias.normal_()
        outputs = net.head.fc(net.maps(pictures()).flatten(1))
        found = net.head.distribution(net(pictures()).raw)
    torch.testing.assert_close(found, rectified_distribution(outputs), atol=1e-6, rtol=1e-5)
    assert (found < 1e-9).any()


def test_an_attention_nets_weights_are_put_in_its_place() -> None:
    net, model = attention(), whole()
    with torch.no_grad():
        net.rmhha.scales.copy_(torch.arange(5.0))
    fusion = model.state_dict()["blocks.0.conv1.weight"].clone()
    fill(model, net.state_dict(), "a file")
    assert model.attention.rmhha.scales.tolist() == [0, 1, 2, 3, 4]
    assert torch.equal(model.state_dict()["blocks.0.conv1.weight"], fusion)
    with pytest.raises(WrinkleError, match="a file holds another network"):
        fill(model, attention(heads=4).state_dict(), "a file")


def test_known_patches_of_the_picture_and_its_mirror_give_the_same_prediction() -> None:
    model, images = whole(), pictures()
    points = torch.zeros(2, 5, 2)
    both = [model.row_extras(each)["boxes"] for each in (images, images.flip(-1))]
    extras = {"boxes": torch.stack(both, 1)}
    with torch.no_grad():
        expected = model.predict(images, points)
        found = model.predict_all(images, points, extras=extras)
        alone = model.predict_all(images, points, mirror=False, extras=extras)
        plain = model.predict(images, points, mirror=False)
    for known, own in ((found, expected), (alone, plain)):
        torch.testing.assert_close(known.distribution[:, 0], own.distribution)
        torch.testing.assert_close(known.age[:, 0], own.age)


def test_patches_follow_the_motion_of_the_view() -> None:
    """Turned by a quarter and shifted: a box's map is turned and shifted likewise."""
    model, images = whole(), pictures()
    boxes = model.find_patches(images)
    shift = torch.tensor([[1.0, 0.0, 0.1], [0.0, 1.0, -0.2]]).expand(2, 2, 3)
    shifted = boxes + torch.tensor([0.1, -0.2, 0.1, -0.2])
    with torch.no_grad():
        found = model(images, None, Extras({"boxes": boxes}, shift)).raw
        torch.testing.assert_close(found, with_boxes(model, images, shifted).raw)
    turn = torch.tensor([[0.0, -1.0, 0.3], [1.0, 0.0, 0.0]])
    maps = moved(patch_maps(boxes), turn.expand(2, 2, 3))
    corner = torch.tensor([1.0, -1.0, 1.0])  # the patch's top right, in its own coordinates
    x, y = boxes[0, 0, 2], boxes[0, 0, 1]
    torch.testing.assert_close(maps[0, 0] @ corner, torch.stack([0.3 - y, x]))


def test_bfloat16_blocks_move_ages_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "multiplies_bf16", lambda: True)
    model, images, points = whole(), pictures(4), torch.zeros(4, 5, 2)
    with torch.inference_mode():
        expected = model.predict(images, points).age
        ready = inference.prepare_for_inference(model)
        assert {m.dtype for m in ready.blocks.modules() if isinstance(m, PackedConv2d)} == {
            torch.bfloat16
        }
        torch.testing.assert_close(ready.predict(images, points).age, expected, atol=0.2, rtol=0)


@pytest.mark.parametrize(
    ("name", "fields", "line"),
    [
        ("adpf_attention", {"stride": 2}, r"stride is 2; choices: 4\b.* 8"),
        ("adpf_attention", {"input_size": 66}, "input_size is 66; it must be a multiple of 4"),
        ("adpf_attention", {"attention": "none"}, "attention is 'none'; choices: 'hybrid'.*'self'"),
        ("adpf", {"head": "x"}, "unknown head 'x'; choices: .*rectified.*softmax"),
        ("adpf", {"heads": 0}, "heads is 0; with 500 channels it is 1 to 500"),
        ("adpf", {"patch_size": 16}, "patch_size 16; at least 32"),
        ("adpf", {"width": 0}, "width is 0"),
        ("adpf", {"main_path": "long"}, "main_path is 'long'; choices: 'short'.*'resnet18'"),
        ("adpf", {"heads": 9, "main_path": "resnet18"}, "9 patches; ResNet-18 has 8 blocks"),
        ("adpf", {"patch_dropout": 1.0}, "patch_dropout 1.0.*below 1"),
        ("adpf", {"places": "nowhere"}, "places is 'nowhere'; choices: 'attention'"),
        ("adpf_attention", {"form": "new"}, "form is 'new'; choices: 'literal'"),
        ("bif_fusion", {"patches": 0}, "0 patches; FusionNet needs at least 1"),
    ],
)
def test_impossible_fields_are_refused(name: str, fields: dict[str, object], line: str) -> None:
    with pytest.raises(WrinkleError, match=line):
        create_model(name, **fields)


def test_pictures_of_another_size_are_refused() -> None:
    with pytest.raises(WrinkleError, match=r"takes images \(B, 3, 64, 64\)"):
        attention()(pictures(size=32))
    with pytest.raises(WrinkleError, match=r"takes images \(B, 3, 64, 64\)"):
        whole()(pictures(size=128))


def test_patches_say_little_at_first() -> None:
    model, images = whole(), pictures()
    boxes = model.find_patches(images)
    with torch.no_grad():
        before = with_boxes(model, images, boxes).raw
        moved = with_boxes(model, images, boxes + 0.2).raw
        other = with_boxes(model, images.flip(-1), boxes).raw
    assert 0 < (moved - before).norm() < 0.5 * (other - before).norm()


def pooling(**fields: object) -> PoolingAttentionNet:
    model = attention(form="pooling", **fields)
    assert isinstance(model, PoolingAttentionNet)
    with torch.no_grad():
        model.rmhha.scales.copy_(torch.tensor([0.3, -0.5, 1.0, 0.0, 0.1]))
    return model


def test_pooled_features_by_hand() -> None:
    """Head by head in float64: Σ a_n · norm(W_n Σ M_n X_n + b_n) / √n → ReLU → FC."""
    net, images = pooling().double(), pictures().double()
    with torch.no_grad():
        x = net.features(images)
        output = net(images)
        maps = output.extra["maps"]
        a = net.rmhha.scales.exp()
        a = a / a.mean()
        total = torch.zeros(2, 320, dtype=torch.float64)
        for n in range(5):
            z = torch.zeros(2, 4, dtype=torch.float64)
            for y in range(16):
                for column in range(16):
                    z += maps[:, n, y, column, None] * x[:, 4 * n : 4 * n + 4, y, column]
            norm = net.norms[n]
            features = z @ net.pooled[n].weight.T + net.pooled[n].bias
            total += a[n] * (features - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
        expected = net.head(torch.relu(total / 5**0.5))
    torch.testing.assert_close(output.raw, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(net.scales().sum(), torch.tensor(5.0, dtype=torch.float64))
    assert net.rmhha.ranking().tolist() == [2, 0, 4, 3, 1]


def test_attention_is_positive_and_sums_to_one() -> None:
    net = pooling()
    with torch.no_grad():
        for maps in (net(pictures()).extra["maps"], net.maps(pictures())):
            assert (maps > 0).all()
            torch.testing.assert_close(maps.sum((2, 3)), torch.ones(2, 5))


def test_a_mirrored_face_has_mirrored_boxes() -> None:
    net, images = pooling(), pictures()
    with torch.no_grad():
        x1, y1, x2, y2 = net.find_patches(images).unbind(-1)
        mirrored = net.find_patches(images.flip(-1))
    torch.testing.assert_close(mirrored, torch.stack([-x2, y1, -x1, y2], -1), atol=1e-5, rtol=0)


def test_negated_values_do_not_only_move_boxes() -> None:
    """In the literal form negating V and the FC moves the boxes and keeps every age; here no layer
    after the attention can undo it."""
    net, images = pooling(), pictures()
    with torch.no_grad():
        before, boxes = net(images).raw, net.find_patches(images)
        for head in net.rmhha.heads:
            head.v.weight.neg_()
            head.v.bias.neg_()
        assert not torch.allclose(net.find_patches(images), boxes, atol=1e-3)
        assert not torch.allclose(net(images).raw, before, atol=1e-4)
        after = net(images).raw
        for head in net.rmhha.heads:  # a multiple of V changes nothing at all
            head.v.weight.mul_(3)
            head.v.bias.mul_(3)
        torch.testing.assert_close(net(images).raw, after, atol=1e-4, rtol=1e-3)


def test_a_position_of_x_sees_about_half_of_the_face() -> None:
    net = attention(form="pooling", input_size=128, stride=8)
    images = torch.randn(1, 3, 128, 128, requires_grad=True)
    net.features(images)[0, :, 8, 8].sum().backward()
    assert images.grad is not None
    rows = images.grad.abs().sum((0, 1, 3)).nonzero()
    assert 60 <= int(rows.max() - rows.min()) + 1 <= 72


def test_patches_come_from_the_larger_picture() -> None:
    """A face of half the input's side: details of the input reach the patches only."""
    model, images = whole(form="pooling", input_size=128, face_size=64), pictures(size=128)
    checks = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(64, 64)
    assert model.attention.maps(images).shape == (2, 5, 16, 16)
    with torch.no_grad():
        boxes = model.find_patches(images)
        found = with_boxes(model, images + checks, boxes).raw
        torch.testing.assert_close(model.find_patches(images + checks), boxes)
    assert not torch.allclose(found, with_boxes(model, images, boxes).raw, atol=1e-6)
    with pytest.raises(WrinkleError, match="face_size is 48; input_size, 128"):
        whole(input_size=128, face_size=48)


def test_fixed_patches_are_the_mean_of_the_training_faces() -> None:
    model, dynamic = whole(places="fixed"), whole()
    dynamic.attention.load_state_dict(model.attention.state_dict())
    views = torch.rand(6, 3, 64, 64)
    model.before_training(iter(views.split(4)), torch.zeros(6))
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (model.mean, model.std))
    expected = dynamic.find_patches((views - mean) / std).mean(0)
    for images in (pictures(), pictures(3)):
        torch.testing.assert_close(
            model.find_patches(images), expected.expand(len(images), 5, 4), atol=1e-5, rtol=0
        )
    assert "mean_boxes" in model.state_dict()
    assert "mean_boxes" not in dynamic.state_dict()


def test_random_patches_are_of_the_same_size_anywhere_and_repeatable() -> None:
    model, dynamic, images = whole(places="random"), whole(), pictures(64)
    dynamic.load_state_dict(model.state_dict())
    found, own = model.find_patches(images), dynamic.find_patches(images)
    torch.testing.assert_close(found[..., 2:] - found[..., :2], own[..., 2:] - own[..., :2])
    assert found.abs().max() <= 1
    shares = (found[..., 0] + 1) / (2 - (found[..., 2] - found[..., 0]))
    assert shares.min() < 0.05
    assert shares.max() > 0.95
    assert 0.4 < float(shares.mean()) < 0.6
    assert torch.equal(model.find_patches(images[5:6]), found[5:6])


def test_without_patches_only_the_face_counts() -> None:
    model, images = whole(places="none"), pictures()
    assert not model.patch_blocks
    assert [block.conv1.in_channels for block in model.blocks] == [4, 4, 8, 8, 16]
    with torch.no_grad():
        before = model(images).raw
        model.attention.rmhha.scales.neg_()
        torch.testing.assert_close(model(images).raw, before)


def test_jitter_moves_and_scales_patches_within_its_share() -> None:
    torch.manual_seed(0)
    boxes = torch.tensor([0.1, -0.5, 0.5, 0.3]).expand(500, 2, 4)
    found = jittered(patch_maps(boxes), 0.1)
    sides = 2 * torch.stack([found[..., 0, 0], found[..., 1, 1]], -1)
    scale = sides / torch.tensor([0.4, 0.8])
    torch.testing.assert_close(scale[..., 0], scale[..., 1])  # the shape stays
    shift = (found[..., 2] - torch.tensor([0.3, -0.1])) / torch.tensor([0.4, 0.8])
    for share in (scale - 1, shift):
        assert 0.09 < share.max() <= 0.1 + 1e-5
        assert -0.1 - 1e-5 <= share.min() < -0.09
    assert not found[..., 0, 1].any()
    assert not found[..., 1, 0].any()


def test_jitter_and_dropout_are_for_training_only() -> None:
    images, model = pictures(), whole(patch_jitter=0.2, patch_dropout=0.5)
    plain = whole()
    with torch.no_grad():
        torch.testing.assert_close(model(images).raw, plain(images).raw)
        assert not torch.equal(model.train()(images).raw, model(images).raw)


def test_dropout_hides_whole_patches() -> None:
    model, images = whole(patch_dropout=0.999), pictures()
    boxes = model.find_patches(images)
    model.train()
    for module in model.modules():  # batch norms as in evaluation
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    with torch.no_grad():
        torch.testing.assert_close(
            with_boxes(model, images, boxes).raw, with_boxes(model, images, boxes + 0.2).raw
        )


def resnet(size: int = 64) -> ResNet:
    """A ResNet-18 with normalisation statistics that are not those of a new one."""
    torch.manual_seed(2)
    net = create_model("res18_ex", input_size=size, width=4)
    assert isinstance(net, ResNet)
    for layer in net.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_(std=0.1)  # type: ignore[union-attr]
            layer.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
            torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
    return net.eval()


@pytest.mark.parametrize("places", ["attention", "fixed", "random", "none"])
@pytest.mark.parametrize("heads", [1, 5, 8])
def test_a_resnet18_path_starts_with_what_the_resnet_computes(places: str, heads: int) -> None:
    net, model = resnet(), whole(main_path="resnet18", places=places, heads=heads, channels=40)
    frozen = model.attention.state_dict()["conv1.weight"].clone()
    fill(model, net.state_dict(), "the start")
    torch.testing.assert_close(model(pictures()).raw, net(pictures()).raw)
    assert torch.equal(model.attention.conv1.weight, frozen)


def test_patches_join_a_resnet18_path_evenly_after_copies_of_its_layers() -> None:
    net, model = resnet(), whole(main_path="resnet18")
    fill(model, net.state_dict(), "the start")
    assert model.joints == (0, 1, 3, 4, 6)
    blocks = [*net.layer1, *net.layer2, *net.layer3, *net.layer4]
    images = pictures()
    x = net.maxpool(net.relu(net.bn1(net.conv1(images))))
    for j, block in enumerate(blocks):
        if j in model.joints:
            torch.testing.assert_close(model.patch_blocks[model.joints.index(j)](images), x)
        x = block(x)
    for j in model.joints:
        face, patch = model.blocks[j].conv1.weight.chunk(2, 1)
        assert torch.equal(face, blocks[j].conv1.weight)
        assert not patch.any()


def test_a_joined_block_adds_the_faces_features_alone() -> None:
    block = JoinedBlock(3, 3, 1).eval()
    face, patch = torch.rand(2, 2, 3, 4, 4)
    both = torch.cat([face, patch], 1)
    inner = block.conv2(torch.relu(block.bn1(block.conv1(both))))
    torch.testing.assert_close(block(both), torch.relu(block.bn2(inner) + face))


def test_patches_of_a_resnet18_path_learn_from_the_first_step() -> None:
    model = whole(main_path="resnet18")
    fill(model, resnet().state_dict(), "the start")
    model(pictures()).raw.square().mean().backward()
    for j in model.joints:
        assert model.blocks[j].conv1.weight.grad.chunk(2, 1)[1].any()


def test_the_short_path_takes_no_resnet() -> None:
    with pytest.raises(WrinkleError, match="the start holds another network"):
        fill(whole(), resnet().state_dict(), "the start")
