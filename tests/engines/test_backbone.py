"""The contract of every backbone by its name."""

import importlib.metadata
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from engines.backbone import BACKBONE, Backbone, open_backbone
from engines.efficientnet_lite import VARIANTS, EfficientNetLite, load_weights, taps_of
from engines.engine import EngineError
from support.timm_on_cpu import import_timm

TAPS = (4, 8, 16, 32)
TIMM = "timm:resnet18"


def random_timm_weights() -> dict[str, Tensor]:
    timm = import_timm()
    torch.manual_seed(0)
    return dict(timm.create_model("resnet18", pretrained=False).state_dict())


@pytest.fixture(scope="module", params=[*VARIANTS, TIMM])
def opened(request: pytest.FixtureRequest) -> Callable[..., Backbone]:
    name = request.param
    weights = random_timm_weights() if name == TIMM else load_weights(name)
    return lambda taps=TAPS, channels=1: open_backbone(name, taps, channels=channels, weights=weights)


class TestBackboneContract:
    def test_taps_have_their_strides_and_channels(self, opened: Callable[..., Backbone]) -> None:
        backbone = opened()
        features = backbone(torch.zeros(2, 1, 64, 128))
        assert backbone.taps == TAPS
        assert [tuple(f.shape) for f in features] == [
            (2, backbone.tap_channels[tap], 64 // tap, 128 // tap) for tap in TAPS
        ]

    def test_one_channel_is_the_grey_image_repeated(self, opened: Callable[..., Backbone]) -> None:
        image = torch.rand(1, 1, 64, 64) * 255
        grey, colour = opened(), opened(channels=3)
        for one, three in zip(grey(image), colour(image.repeat(1, 3, 1, 1)), strict=True):
            torch.testing.assert_close(one, three, atol=1e-3, rtol=1e-3)

    def test_nothing_is_learned_in_it(self, opened: Callable[..., Backbone]) -> None:
        backbone = opened()
        assert not any(parameter.requires_grad for parameter in backbone.parameters())
        assert isinstance(backbone, nn.Module)
        assert not any(module.training for module in backbone.modules())
        image = torch.rand(2, 1, 64, 64) * 255
        before = backbone(image)
        backbone.train()
        backbone(image)
        assert all(map(torch.equal, before, backbone(image)))

    def test_fewer_taps_give_the_same_features_from_fewer_layers(
        self, opened: Callable[..., Backbone]
    ) -> None:
        image = torch.rand(1, 1, 64, 64) * 255
        every, some = opened(), opened((8, 16))
        assert all(map(torch.equal, some(image), every(image)[1:3]))
        assert some.tap_channels == {tap: every.tap_channels[tap] for tap in (8, 16)}
        assert len(list(some.parameters())) < len(list(every.parameters()))

    def test_the_image_is_left_as_it_is(self, opened: Callable[..., Backbone]) -> None:
        image = torch.rand(1, 1, 64, 64) * 255
        before = image.clone()
        opened()(image)
        assert torch.equal(image, before)

    @pytest.mark.parametrize("taps", [(), (16, 8), (8, 8), (8, 64), (3,)])
    def test_taps_that_do_not_suit_are_refused(
        self, opened: Callable[..., Backbone], taps: tuple[int, ...]
    ) -> None:
        with pytest.raises(EngineError, match=r"^backbone \S+: found taps .*expected .*$"):
            opened(taps)

    def test_channels_other_than_one_and_three_are_refused(self, opened: Callable[..., Backbone]) -> None:
        with pytest.raises(EngineError, match="channels: found 2, expected 1"):
            opened(channels=2)

    def test_weights_that_lack_a_tensor_are_refused(self, opened: Callable[..., Backbone]) -> None:
        with pytest.raises(EngineError, match=r"^backbone \S+: .*(hold no|lack 1\d\d tensors).*expected"):
            open_backbone(opened().name, TAPS, channels=1, weights={"fc.bias": torch.zeros(1)})


@pytest.mark.parametrize("name", ["", "efficientnet_lite9", "resnet18", "EfficientNet_Lite0"])
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(EngineError, match=rf"found '{name}', expected one of .*lite0, .* or timm:"):
        open_backbone(name, (8,), channels=1)


def test_lite0_by_its_class_is_lite0_by_its_name() -> None:
    image = torch.rand(1, 1, 64, 64) * 255
    by_class, by_name = (
        EfficientNetLite(BACKBONE, TAPS, channels=1),
        open_backbone("efficientnet_lite0", TAPS, channels=1),
    )
    assert all(map(torch.equal, by_class(image), by_name(image)))
    assert by_class.tap_channels == {4: 24, 8: 40, 16: 112, 32: 192}
    assert taps_of(BACKBONE) == {4: (2, 24), 8: (4, 40), 16: (10, 112), 32: (14, 192)}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_missing_package_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str) -> None:
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "files", missing)
    extra = "train" if name == "efficientnet_lite0" else "backbones"
    with pytest.raises(EngineError, match=rf"{name}.*not installed.*hlgfa-line\[{extra}\]"):
        open_backbone(name, (8,), channels=1)


def test_weights_can_be_given() -> None:
    x = torch.rand(1, 1, 64, 64) * 255
    given = EfficientNetLite(BACKBONE, (16,), channels=1, weights=load_weights(BACKBONE))
    assert torch.equal(given(x)[0], EfficientNetLite(BACKBONE, (4, 8, 16), channels=1)(x)[2])


@pytest.mark.parametrize(("asked", "given"), [("lite0", "lite1"), ("lite1", "lite2"), ("lite2", "lite1")])
def test_weights_of_another_variant_are_refused(asked: str, given: str) -> None:
    weights = load_weights(f"efficientnet_{given}")
    with pytest.raises(EngineError, match=r"found channels and kernel .*expected .*another network's"):
        EfficientNetLite(f"efficientnet_{asked}", TAPS, channels=1, weights=weights)
