import pytest
import torch
from torch import Tensor, nn

from engines import backbone
from engines.backbone import TAP_CHANNELS, EfficientNetLite0, SameConv
from engines.engine import EngineError


@pytest.fixture(scope="module")
def grey() -> EfficientNetLite0:
    return EfficientNetLite0((4, 8, 16), channels=1)


def test_taps_have_their_strides_and_channels(grey: EfficientNetLite0) -> None:
    features = grey(torch.zeros(1, 1, 64, 128))
    assert [tuple(f.shape) for f in features] == [(1, TAP_CHANNELS[s], 64 // s, 128 // s) for s in (4, 8, 16)]


def test_one_channel_is_the_grey_image_repeated(grey: EfficientNetLite0) -> None:
    image = torch.rand(1, 1, 64, 64) * 255
    colour = EfficientNetLite0((4, 8, 16), channels=3)
    for one, three in zip(grey(image), colour(image.repeat(1, 3, 1, 1)), strict=True):
        torch.testing.assert_close(one, three, atol=1e-3, rtol=1e-3)


def test_nothing_is_learned_in_it(grey: EfficientNetLite0) -> None:
    assert not any(parameter.requires_grad for parameter in grey.parameters())


def test_folded_batch_norm_equals_batch_norm() -> None:
    conv, norm = nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8, eps=backbone.BATCH_NORM_EPS).eval()
    assert norm.running_mean is not None
    assert norm.running_var is not None
    nn.init.uniform_(norm.weight)
    norm.running_mean.uniform_()
    norm.running_var.uniform_(0.5, 2)
    state = {f"c.{k}": v for k, v in conv.state_dict().items()}
    state |= {f"n.{k}": v for k, v in norm.state_dict().items()}
    folded = SameConv(*backbone._folded(state, "c", "n"), stride=1, relu6=False)
    x = torch.rand(1, 3, 9, 9)
    torch.testing.assert_close(folded(x)[..., 1:-1, 1:-1], norm(conv(x)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("size", "kernel", "expected"), [(8, 3, (0, 1)), (8, 5, (1, 2)), (7, 3, (1, 1))])
def test_stride_two_pads_as_tensorflow(size: int, kernel: int, expected: tuple[int, int]) -> None:
    assert backbone._same_padding(size, kernel, 2) == expected


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbone, "PACKAGE", "no-such-package-for-hlgfa")
    with pytest.raises(EngineError, match=r"not installed.*hlgfa-line\[train\]"):
        backbone.load_weights()


def test_weights_can_be_given(grey: EfficientNetLite0) -> None:
    state: dict[str, Tensor] = backbone.load_weights()
    x = torch.rand(1, 1, 64, 64) * 255
    again = EfficientNetLite0((16,), channels=1, weights=state)
    assert torch.equal(again(x)[0], grey(x)[2])
