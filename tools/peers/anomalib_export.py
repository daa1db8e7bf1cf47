"""anomalib's networks as ONNX of one image of 256x256; a process of its own, the only one with torch.

None is trained: weights are random, which changes no multiply-add. What training would have left behind has
its real size: PatchCore's memory bank, PaDiM's mean and covariance of every position.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tools.peers.worker import test_input

SIZE_PX = 256
BOTTLE_PARTS = 209
"""Good parts that MVTec AD's bottle is trained on: what PatchCore's coreset is chosen from."""
CORESET_SHARE = 0.1
_OPERATORS = ("nms", "qnms")
_LIBRARY = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]


def import_torchvision() -> bool:
    """Import torchvision; whether that needed operators to be declared that have no code behind them.

    A torchvision built for CUDA beside a CPU torch does not load its compiled operators and then misses the
    declaration of two. anomalib takes names from torchvision, but none of the networks here calls it.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        for name in _OPERATORS:
            schema = f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            _LIBRARY.define(schema)  # type: ignore[no-untyped-call]
        importlib.import_module("torchvision")
        return True
    return False


def efficientad_s() -> torch.nn.Module:
    """EfficientAD-S: teacher, student and autoencoder, with the normalisation that training sets."""
    module = importlib.import_module("anomalib.models.image.efficient_ad.torch_model")
    model: Any = module.EfficientAdModel(model_size=module.EfficientAdModelSize.S)
    with torch.no_grad():
        model.mean_std["mean"].fill_(0.1)
        model.mean_std["std"].fill_(0.5)
        for name, value in (("qa_st", 0.1), ("qb_st", 0.2), ("qa_ae", 0.1), ("qb_ae", 0.2)):
            model.quantiles[name].fill_(value)
    return model.eval()  # type: ignore[no-any-return]


def patchcore() -> torch.nn.Module:
    """PatchCore on layers 2 and 3 of ResNet18, nine neighbours, a bank of 10 % of bottle's patches."""
    module = importlib.import_module("anomalib.models.image.patchcore.torch_model")
    model: Any = module.PatchcoreModel(["layer2", "layer3"], backbone="resnet18", pre_trained=False)
    patches = BOTTLE_PARTS * (SIZE_PX // 8) ** 2
    channels = sum(model.feature_extractor.out_dims)
    model.memory_bank = torch.randn(int(CORESET_SHARE * patches), channels)
    return model.eval()  # type: ignore[no-any-return]


def padim() -> torch.nn.Module:
    """PaDiM on layers 1 to 3 of ResNet18, 100 of their channels, a covariance at each of 64x64 places."""
    module = importlib.import_module("anomalib.models.image.padim.torch_model")
    model: Any = module.PadimModel(backbone="resnet18", pre_trained=False)
    places, channels = (SIZE_PX // 4) ** 2, model.n_features
    model.gaussian.mean = torch.randn(channels, places)
    roots = torch.randn(places, channels, channels)
    model.gaussian.inv_covariance = roots @ roots.mT / channels + 0.01 * torch.eye(channels)
    return model.eval()  # type: ignore[no-any-return]


PEERS: dict[str, Callable[[], torch.nn.Module]] = {
    "efficientad-s": efficientad_s,
    "patchcore": patchcore,
    "padim": padim,
}


def export(name: str, folder: Path) -> dict[str, Any]:
    """Write one network; its file, its size and the score that torch computes for the test image."""
    torch.manual_seed(0)
    model = PEERS[name]()
    image = torch.from_numpy(np.asarray(test_input("float32", (1, 3, SIZE_PX, SIZE_PX))))
    path = folder / f"{name}.onnx"
    with torch.no_grad(), contextlib.redirect_stdout(sys.stderr):
        score = float(model(image).pred_score.reshape(-1)[0])
        torch.onnx.export(
            model,
            (image,),
            str(path),
            dynamo=True,
            external_data=False,
            opset_version=18,
            input_names=["image"],
            output_names=["pred_score", "anomaly_map"],
        )
    return {"name": name, "onnx": str(path), "score": score}


def main(folder: str, threads: str) -> None:
    """Export all; one line of JSON for each, after one about the environment."""
    torch.set_num_threads(int(threads))
    warnings.simplefilter("ignore")  # of packages that are not ours
    declared = import_torchvision()
    versions = {name: version(name) for name in ("anomalib", "torch", "timm")}
    versions["torchvision"] = importlib.import_module("torchvision").__version__  # with its build
    print(json.dumps({"versions": versions, "torchvision_declared": declared}), flush=True)
    for name in PEERS:
        print(json.dumps(export(name, Path(folder))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
