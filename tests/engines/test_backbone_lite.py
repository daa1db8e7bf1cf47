"""EfficientNet-Lite against an independent forward: BatchNorm unfolded, sizes from the weights themselves."""

import hashlib
import importlib.metadata
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from engines import inverted_residual
from engines.backbone import BACKBONE, open_backbone
from engines.efficientnet_lite import VARIANTS, EfficientNetLite, load_weights, stages
from engines.engine import EngineError
from engines.inverted_residual import SameConv

TAPS = (4, 8, 16, 32)
LITE0_SHA256 = "27309a6e0880bd41c9330740c218ac56f3fc9eec3f77d8499585613dd8f8018a"
"""Of names and folded weights, RGB, taps 4, 8, 16, as they were before other backbones came (a4e1dbe)."""


class PlainLite(nn.Module):
    """The whole network up to stride 32, its sizes from the shapes in the state dict."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        self.state = state
        self.count = 1 + max(int(key.split(".")[1]) for key in state if key.startswith("_blocks."))

    def forward(self, image: Tensor) -> list[Tensor]:
        x = self._unit((image - 127) / 128, "_conv_stem", "_bn0", stride=2).clamp(0, 6)
        features: dict[int, Tensor] = {}
        total, widths = 2, 0  # strides: at the second, third, fourth and sixth new kernel or width
        for index in range(self.count - 1):  # the last block is the stage of 320 channels
            p = f"_blocks.{index}"
            width = self.state[f"{p}._project_conv.weight"].shape[0]
            first = width != x.shape[1]
            widths += first
            stride = 2 if first and widths in {2, 3, 4, 6} else 1
            total *= stride
            y = x
            if index > 0:
                y = self._unit(y, f"{p}._expand_conv", f"{p}._bn0").clamp(0, 6)
            y = self._unit(y, f"{p}._depthwise_conv", f"{p}._bn1", stride=stride, groups=y.shape[1]).clamp(
                0, 6
            )
            y = self._unit(y, f"{p}._project_conv", f"{p}._bn2")
            x = y if first else x + y
            features[total] = x
        return [features[tap] for tap in TAPS]

    def _unit(self, x: Tensor, conv: str, norm: str, *, stride: int = 1, groups: int = 1) -> Tensor:
        weight = self.state[f"{conv}.weight"]
        extra = weight.shape[-1] - stride  # for sizes that the stride divides
        x = F.pad(x, (extra // 2, extra - extra // 2) * 2)
        x = F.conv2d(x, weight, stride=stride, groups=groups)
        mean, variance, scale, shift = (
            self.state[f"{norm}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, mean, variance, scale, shift, eps=1e-3)


@pytest.mark.parametrize("name", VARIANTS)
def test_features_equal_those_of_the_plain_network(name: str) -> None:
    state = load_weights(name)
    image = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0)) * 255
    found = open_backbone(name, TAPS, channels=3, weights=state)(image)
    with torch.no_grad():
        expected = PlainLite(state)(image)
    for one, other in zip(found, expected, strict=True):
        assert ((one - other).norm() / other.norm()).item() < 1e-4
        torch.testing.assert_close(one, other, atol=1e-4 * other.abs().max().item(), rtol=1e-4)


@pytest.mark.parametrize("name", VARIANTS)
def test_stages_are_those_of_the_weights(name: str) -> None:
    """Every block of the file but the last one, the stage of the classifier, and no other."""
    state = load_weights(name)
    expected = [stage for stage in stages(name) for _ in range(stage.blocks)]
    projections = [key for key in state if key.endswith("._project_conv.weight")]
    assert len(projections) == len(expected) + 1
    assert [state[key].shape[0] for key in projections[:-1]] == [stage.channels for stage in expected]
    depthwise = [state[key].shape[-1] for key in state if key.endswith("._depthwise_conv.weight")]
    assert depthwise[:-1] == [stage.kernel for stage in expected]


def test_lite0_is_what_shipped_models_were_trained_on() -> None:
    """Same names, same bits: a model's hash depends on both."""
    digest = hashlib.sha256()
    for name, weight in EfficientNetLite(BACKBONE, (4, 8, 16), channels=3).state_dict().items():
        digest.update(name.encode() + weight.numpy().tobytes())
    assert digest.hexdigest() == LITE0_SHA256


def test_lite0_computes_as_it_always_did() -> None:
    """The folded weights through the plainest chain of calls, bit for bit."""
    network = EfficientNetLite(BACKBONE, (4, 8, 16), channels=1)
    image = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0)) * 255
    weights = iter(network.state_dict().values())

    def convolve(x: Tensor, kernel: int, stride: int, *, depthwise: bool = False) -> Tensor:
        if stride == 2:
            low = (kernel - 2) // 2
            x = F.pad(x, (low, kernel - 2 - low) * 2)
        padding = 0 if stride == 2 else kernel // 2
        groups = x.shape[1] if depthwise else 1
        return F.conv2d(x, next(weights), next(weights), stride=stride, padding=padding, groups=groups)

    x = F.relu6(convolve((image - 127.0) / 128.0, 3, 2))
    outputs = []
    blocks = [(3, 1), (3, 2), (3, 1), (5, 2), (5, 1), (3, 2), (3, 1), (3, 1), (5, 1), (5, 1), (5, 1)]
    skips = {2, 4, 6, 7, 9, 10}
    for index, (kernel, stride) in enumerate(blocks):
        y = x if index == 0 else F.relu6(convolve(x, 1, 1))
        y = F.relu6(convolve(y, kernel, stride, depthwise=True))
        y = convolve(y, 1, 1)
        x = x + y if index in skips else y
        outputs.append(x)
    assert next(weights, None) is None
    assert all(map(torch.equal, network(image), [outputs[2], outputs[4], outputs[10]]))


def test_folded_batch_norm_equals_batch_norm() -> None:
    conv, norm = (
        nn.Conv2d(3, 8, 3, bias=False),
        nn.BatchNorm2d(8, eps=inverted_residual.BATCH_NORM_EPS).eval(),
    )
    assert norm.running_mean is not None
    assert norm.running_var is not None
    nn.init.uniform_(norm.weight)
    norm.running_mean.uniform_()
    norm.running_var.uniform_(0.5, 2)
    state = {f"c.{k}": v for k, v in conv.state_dict().items()}
    state |= {f"n.{k}": v for k, v in norm.state_dict().items()}
    folded = SameConv(*inverted_residual.folded(state, "c", "n"), stride=1, relu6=False)
    x = torch.rand(1, 3, 9, 9)
    torch.testing.assert_close(folded(x)[..., 1:-1, 1:-1], norm(conv(x)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("size", "kernel", "expected"), [(8, 3, (0, 1)), (8, 5, (1, 2)), (7, 3, (1, 1))])
def test_stride_two_pads_as_tensorflow(size: int, kernel: int, expected: tuple[int, int]) -> None:
    assert inverted_residual.same_padding(size, kernel, 2) == expected


@pytest.mark.parametrize("content", [None, b"", b"not weights"], ids=["gone", "empty", "garbage"])
def test_a_broken_file_is_named(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.pth"
    if content is not None:
        path.write_bytes(content)
    file = importlib.metadata.PackagePath("weights.pth")
    monkeypatch.setattr(type(file), "locate", lambda _: path)
    monkeypatch.setattr(importlib.metadata, "files", lambda _: [file])
    match = "holds no .pth file" if content is None else r"cannot read .*weights\.pth"
    with pytest.raises(EngineError, match=rf"efficientnet_lite1: .*{match}.*\[backbones\]"):
        load_weights("efficientnet_lite1")
