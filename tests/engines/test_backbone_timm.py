"""Backbones of timm: real loading code, weights made here; what goes wrong is one line each."""

import builtins
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from engines.backbone import open_backbone
from engines.engine import EngineError
from engines.timm_backbone import TimmBackbone
from support.timm_on_cpu import import_timm

ROOT = Path(__file__).parents[2]
TAPS = (4, 8, 16)
DOWNLOAD = """
import time
from engines.backbone import open_backbone
from engines.engine import EngineError
from support.timm_on_cpu import import_timm
import_timm()
time.sleep = lambda seconds: None  # the hub's pauses between its tries, 46 seconds in all
try:
    open_backbone("timm:resnet18", (8, 16), channels=1)
except EngineError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def timm() -> Any:
    return import_timm()


@pytest.fixture(scope="module")
def weights(timm: Any) -> Mapping[str, Tensor]:
    """Of resnet18, its BatchNorm as if it had learned."""
    generator = torch.Generator().manual_seed(0)
    state: dict[str, Tensor] = timm.create_model("resnet18", pretrained=False).state_dict()
    for key in [key for key in state if "bn" in key and state[key].ndim == 1]:
        state[key] = torch.rand(state[key].shape, generator=generator) + 0.5
    return state


@pytest.mark.parametrize("channels", [1, 3])
def test_features_equal_those_of_the_whole_network(
    timm: Any, weights: Mapping[str, Tensor], channels: int
) -> None:
    image = torch.rand(2, channels, 64, 96, generator=torch.Generator().manual_seed(1)) * 255
    found = open_backbone("timm:resnet18", TAPS, channels=channels, weights=weights)(image)

    whole = timm.create_model("resnet18", pretrained=False).eval()
    whole.load_state_dict(weights)
    colour = image.expand(-1, 3, -1, -1) / 255
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 3, 1, 1)  # ImageNet's
    x = (colour - mean) / std
    expected = []
    with torch.no_grad():
        x = whole.maxpool(whole.act1(whole.bn1(whole.conv1(x))))
        for layer in (whole.layer1, whole.layer2, whole.layer3):
            x = layer(x)
            expected.append(x)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4 * other.abs().max().item(), rtol=1e-4)


def test_normalisation_is_the_networks_own(timm: Any) -> None:
    """Not ImageNet's for all: Inception's networks want -1 to 1."""
    name = "mobilenetv3_small_050"
    state = timm.create_model(name, pretrained=False).state_dict()
    imagenet = open_backbone(f"timm:{name}", (8,), channels=3, weights=state)
    state = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    inception = open_backbone("timm:tf_efficientnet_lite0", (8, 32), channels=3, weights=state)
    assert isinstance(imagenet, TimmBackbone)
    assert isinstance(inception, TimmBackbone)
    torch.testing.assert_close(imagenet.mean.flatten(), 255 * torch.tensor([0.485, 0.456, 0.406]))
    torch.testing.assert_close(inception.mean.flatten(), torch.full((3,), 127.5))
    torch.testing.assert_close(inception.std.flatten(), torch.full((3,), 127.5))
    assert inception.tap_channels == {8: 40, 32: 320}


def test_layers_beyond_the_last_tap_are_not_built(weights: Mapping[str, Tensor]) -> None:
    backbone = TimmBackbone("timm:resnet18", (8, 16), channels=1, weights=weights)
    layers = {name.split(".")[1] for name, _ in backbone.named_parameters()}
    assert layers == {"conv1", "bn1", "layer1", "layer2", "layer3"}


def test_the_weights_given_are_left_as_they_are(weights: Mapping[str, Tensor]) -> None:
    before = {key: value.clone() for key, value in weights.items()}
    open_backbone("timm:resnet18", TAPS, channels=1, weights=weights)
    assert before.keys() == weights.keys()
    assert all(torch.equal(before[key], weights[key]) for key in before)


def refused(name: str, taps: tuple[int, ...] = TAPS, weights: Mapping[str, Tensor] | None = None) -> str:
    with pytest.raises(EngineError) as caught:
        open_backbone(name, taps, channels=1, weights=weights)
    message = str(caught.value)
    assert message.startswith(f"backbone {name}: ")
    assert "\n" not in message
    assert len(message) < 500
    return message


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize("model", ["no_such_network", "", "hf-hub:someone/something", "../weights"])
def test_a_name_that_timm_does_not_know_is_refused(model: str) -> None:
    message = refused(f"timm:{model}")
    assert f"found {model!r}, expected a name that timm" in message
    assert "list_models" in message


@pytest.mark.usefixtures("timm")
def test_a_name_without_its_variant_gets_suggestions() -> None:
    assert "such as wide_resnet" in refused("timm:wide_resnet")


@pytest.mark.usefixtures("timm")
def test_an_unknown_tag_of_weights_is_refused() -> None:
    message = refused("timm:resnet18.no_such_tag")
    assert "(Invalid pretrained tag (no_such_tag) for resnet18.); expected" in message


@pytest.mark.usefixtures("timm")
def test_a_network_without_features_at_a_stride_is_refused() -> None:
    message = refused("timm:convnext_atto", (2, 4))
    assert "found taps (2, 4), expected strides out of (4, 8, 16, 32)" in message


@pytest.mark.parametrize(
    ("model", "taps", "reason"),
    [
        ("vit_tiny_patch16_224", (16,), "does not take an image of 96 x 64 pixels (Input height (96)"),
        ("swin_tiny_patch4_window7_224", (4,), "does not take an image of 96 x 64 pixels"),
        ("inception_v4", (8,), "found features of shapes [(1, 384, 9, 5)], expected [(1, 384, 12, 8)]"),
    ],
)
def test_a_network_of_another_kind_is_refused(
    timm: Any, model: str, taps: tuple[int, ...], reason: str
) -> None:
    state = timm.create_model(model, pretrained=False).state_dict()
    message = refused(f"timm:{model}", taps, state)
    assert reason in message
    assert "Choose a convolutional network" in message


def test_weights_that_do_not_fit_are_refused(weights: Mapping[str, Tensor]) -> None:
    wrong = dict(weights) | {"conv1.weight": torch.zeros(64, 3, 5, 5)}
    assert "the weights that were given do not fit" in refused("timm:resnet18", TAPS, wrong)
    lacking = {key: value for key, value in weights.items() if key != "layer1.0.conv1.weight"}
    assert "lack 1 tensors, first 'layer1.0.conv1.weight'" in refused("timm:resnet18", TAPS, lacking)


@pytest.mark.parametrize(
    "environment",
    [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}],
    ids=["told to be offline", "nobody answers"],
)
def test_without_a_network_it_says_what_to_do(environment: dict[str, str], tmp_path: Path) -> None:
    """Really without: an empty cache, no host to ask. In its own process: the hub reads this on import."""
    inherited = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "lib")])
    private = {"HF_HOME": str(tmp_path), "TORCH_HOME": str(tmp_path), "PYTHONPATH": paths}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DOWNLOAD],
        env=inherited | private | environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.startswith("backbone timm:resnet18: found no pretrained weights (")
    assert done.stdout.count("\n") == 1
    assert "expected them in the cache of huggingface_hub or a network" in done.stdout
    assert "copy the folder HF_HOME" in done.stdout


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            ImportError("No module named 'timm'"),
            r"not installed \(No module.*pip install 'hlgfa-line\[timm\]'",
        ),
        (
            RuntimeError("operator torchvision::nms does not exist"),
            r"cannot import timm beside torch .*torchvision::nms.*expected a torchvision of the same build",
        ),
    ],
    ids=["extra missing", "torchvision of another build"],
)
def test_timm_that_cannot_be_imported_says_what_to_install(
    error: Exception, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = builtins.__import__

    def fail(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "timm":
            raise error
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", fail)
    with pytest.raises(EngineError, match=rf"^backbone timm:resnet18: .*{expected}"):
        open_backbone("timm:resnet18", TAPS, channels=1)
