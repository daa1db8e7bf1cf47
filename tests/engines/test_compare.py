import numpy as np
import pytest

from engines.compare import Comparison, ScoreLimit, compare
from engines.engine import EngineInfo, EngineOutput
from engines.load import open_engine
from support.tiny_model import make_model


class Bent:
    """An engine that is off by a factor and an offset, as one that lost its range would be."""

    def __init__(self, factor: float = 1.0, offset: float = 0.0) -> None:
        self.factor, self.offset = factor, offset

    @property
    def info(self) -> EngineInfo:
        raise NotImplementedError

    def infer(self, image: np.ndarray) -> EngineOutput:
        anomaly_map = np.abs(image.astype(np.float32) - 128) * np.float32(self.factor) + np.float32(
            self.offset
        )
        return EngineOutput(float(anomaly_map.max()), anomaly_map)

    def close(self) -> None: ...

    def __enter__(self) -> "Bent":
        return self

    def __exit__(self, *_: object) -> None: ...


def images(*levels: int) -> list[np.ndarray]:
    return [np.full((4, 4), level, np.uint8) for level in levels]


def found(bent: Bent, *levels: int) -> Comparison:
    return compare(bent.infer, Bent().infer, images(*levels), threshold=50.0)


def test_equal_engines_have_no_error() -> None:
    comparison = found(Bent(), 128, 200)
    assert (comparison.images, comparison.score_error_max, comparison.map_error_max) == (2, 0.0, 0.0)
    assert comparison.failure(ScoreLimit(0.01)) is None


def test_errors_are_in_raw_units() -> None:
    comparison = found(Bent(offset=0.25), 128, 138)
    assert (comparison.score_error_max, comparison.score_error_mean) == (0.25, 0.25)
    assert (comparison.map_error_max, comparison.map_error_mean) == (0.25, 0.25)
    assert comparison.verdict_flips == 0
    assert comparison.failure(ScoreLimit(0.01)) is None
    assert "found a score error of 0.50% (0.25 at most, threshold 50), expected at most 0.4%" in str(
        comparison.failure(ScoreLimit(0.004))
    )


def test_an_error_may_be_a_share_of_a_score_above_the_threshold() -> None:
    comparison = found(Bent(offset=2.0), 128 + 100, 128)
    assert comparison.score_error_max == 2.0
    assert comparison.share(ScoreLimit(0.03)) == pytest.approx(2.0 / 50)
    # Of the part that scores 100 it is 2 %, of the one that scores 0 it is 4 % of the threshold.
    assert comparison.share(ScoreLimit(0.03, "score")) == pytest.approx(2.0 / 50)
    above = found(Bent(offset=2.0), 128 + 100)
    assert above.share(ScoreLimit(0.03, "score")) == pytest.approx(2.0 / 100)
    assert above.failure(ScoreLimit(0.03, "score")) is None
    assert above.failure(ScoreLimit(0.03)) is not None


def test_a_changed_verdict_fails_however_small_the_error() -> None:
    assert found(Bent(offset=0.02), 128 + 50, 128).verdict_flips == 0
    comparison = compare(
        Bent(offset=-0.02).infer, Bent(offset=0.01).infer, images(128 + 50, 128), threshold=50.0
    )
    assert comparison.verdict_flips == 1
    assert "1 of 2 verdicts changed" in str(comparison.failure(ScoreLimit(0.01)))


def test_a_verdict_at_the_threshold_itself_is_nobodys() -> None:
    """The threshold may be a part's own score: which side that part falls on is the last digit's chance."""
    comparison = found(Bent(offset=-0.004), 128 + 50, 128)
    assert (comparison.verdict_flips, comparison.undecided) == (0, 1)
    assert comparison.failure(ScoreLimit(0.01)) is None


@pytest.mark.parametrize("factor", [np.nan, np.inf])
def test_what_is_not_finite_fails(factor: float) -> None:
    comparison = found(Bent(factor=factor), 130, 131)
    assert comparison.non_finite == 2
    assert "2 of 2 images" in str(comparison.failure(ScoreLimit(0.01)))


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(ValueError, match="no image"):
        found(Bent())


def test_the_two_cpu_runtimes_agree(tmp_path_factory: pytest.TempPathFactory) -> None:
    model = make_model(tmp_path_factory.mktemp("model"))
    pictures = [np.random.default_rng(seed).integers(2, 256, (64, 64), np.uint8) for seed in range(4)]
    with (
        open_engine(model, runtime="openvino", threads=1) as engine,
        open_engine(model, runtime="onnxruntime", threads=1) as reference,
    ):
        comparison = compare(engine.infer, reference.infer, pictures, threshold=50.0)
    assert comparison.failure(ScoreLimit(1e-6)) is None
