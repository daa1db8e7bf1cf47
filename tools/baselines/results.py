"""Results of a comparison: one JSON file that grows row by row, and the table made of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev

import msgspec

from calibration.record import CalibrationError
from engines.backbone import BACKBONE
from engines.records import write_record
from tools.baselines.padim import PadimSettings
from tools.baselines.patchcore import PatchCoreSettings
from tools.baselines.student import StudentSettings

SCHEMA = "hlgfa.comparison/1.0"
METRICS = ("image_auroc", "pixel_auroc", "aupro")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What all rows of one file share; `size` is that of `hlgfa train`."""

    backbone: str = BACKBONE
    size: str = "256"
    taps: tuple[int, ...] = (8, 16)
    padim: PadimSettings = PadimSettings()
    patchcore: PatchCoreSettings = PatchCoreSettings()
    student: StudentSettings = StudentSettings()


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One method on one set with one seed; `fit_s` and `score_ms` (one image, median) include the backbone.

    A metric is null where the set does not define it, e.g. pixel metrics without masks.
    """

    data: str
    method: str
    seed: int
    image_auroc: float | None
    pixel_auroc: float | None
    aupro: float | None
    fit_s: float
    score_ms: float
    fit_parts: int
    test_parts: int
    threads: int
    machine: str


class Comparison(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    schema: str = SCHEMA
    settings: Settings
    results: list[Result]

    def has(self, data: str, method: str, seed: int) -> bool:
        """Whether this row is there."""
        return any((r.data, r.method, r.seed) == (data, method, seed) for r in self.results)

    def with_result(self, result: Result) -> Comparison:
        """The same with one row more."""
        return msgspec.structs.replace(self, results=[*self.results, result])


def open_comparison(path: Path, settings: Settings | None) -> Comparison:
    """Read a file to go on with, or begin one where there is none; `settings` None takes those of the file.

    Raises:
        CalibrationError: it cannot be read, has other settings, or is missing and there are none.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Comparison)
    except FileNotFoundError as error:
        if settings is None:
            raise CalibrationError(
                f"{path}: not found, expected results. Give --data to make some."
            ) from error
        return Comparison(settings=settings, results=[])
    except (OSError, msgspec.DecodeError) as error:
        raise CalibrationError(f"{path}: cannot be read ({error}). Choose another --out.") from error
    if found.schema != SCHEMA:
        raise CalibrationError(
            f"{path}: found schema {found.schema!r}, expected {SCHEMA!r}. Choose another --out."
        )
    if settings is not None and found.settings != settings:
        raise CalibrationError(
            f"{path}: found results with {found.settings}, expected {settings}. Choose another --out."
        )
    return found


def save_comparison(comparison: Comparison, path: Path) -> None:
    """Write the file; a reader, or a run that goes on, never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_record(comparison, path)


def markdown_table(comparison: Comparison) -> str:
    """Rows methods, columns sets and their mean: image AUROC / pixel AUROC / AUPRO in percent.

    After ± stands the standard deviation over seeds (n - 1), where there are two or more; of the mean
    column it is that of the seeds' means over all sets. Methods and sets come in the order of the file.
    """
    rows = comparison.results
    sets = list(dict.fromkeys(row.data for row in rows))
    lines = [
        "Image AUROC / pixel AUROC / AUPRO in %, mean ± standard deviation over seeds.",
        f"Backbone {comparison.settings.backbone}, HR view `--size {comparison.settings.size}`.",
        f"Measured on {'; '.join(sorted({f'{row.machine}, {row.threads} thread(s)' for row in rows}))}.",
        "",
        f"| method | {' | '.join([*sets, 'mean', 'fit, s', 'one image, ms'])} |",
        f"|---|{'---|' * len(sets)}---|---|---|",
    ]
    for method in dict.fromkeys(row.method for row in rows):
        own = [row for row in rows if row.method == method]
        cells = [_cell([[row] for row in own if row.data == name]) for name in sets]
        seeds = [[row for row in own if row.seed == seed] for seed in sorted({row.seed for row in own})]
        whole = [group for group in seeds if len(group) == len(sets)]
        times = [f"{fmean(row.fit_s for row in own):.0f}", f"{fmean(row.score_ms for row in own):.0f}"]
        lines.append(f"| {method} | {' | '.join([*cells, _cell(whole), *times])} |")
    return "\n".join(lines) + "\n"


def _cell(groups: Sequence[Sequence[Result]]) -> str:
    """Per metric the mean over groups of the mean in each group, and the spread over groups."""
    if not groups:
        return "-"
    return " / ".join(_figure([_mean(group, metric) for group in groups]) for metric in METRICS)


def _mean(group: Sequence[Result], metric: str) -> float | None:
    values = [getattr(row, metric) for row in group]
    return None if None in values else 100 * fmean(values)


def _figure(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return "-"
    spread = f" ± {stdev(known):.1f}" if len(known) > 1 else ""
    return f"{fmean(known):.1f}{spread}"
