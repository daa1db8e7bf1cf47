"""The table of a run for the terminal, and the page of docs that is written from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.peers.record import BARS, OURS, PeersRun, Row, Timed, rows

if TYPE_CHECKING:
    from rich.table import Table

TITLES = {OURS: "ours", "efficientad-s": "EfficientAD-S", "patchcore": "PatchCore", "padim": "PaDiM"}
HEADERS = ("", "runtime", "p50 ms", "p99 ms", "times ours", "80 % of rounds", "RSS MiB", "ONNX MiB")
NOTES = """\
EfficientAD-S: teacher, student, autoencoder. PatchCore: ResNet18, layers 2 and 3, 9 neighbours, a
memory bank of 10 % of the patches of bottle's 209 training parts. PaDiM: ResNet18, layers 1 to 3,
100 channels, a covariance at each of 64x64 positions.

The peers are untrained: random weights, and a memory bank and covariances of the real size with
random content. That changes no multiply-add, but gives no image AUROC: it is not measured here.

All as ONNX of batch 1 with fixed shapes, fp32, run by the same program: ONNX Runtime without
spinning threads, OpenVINO with the fp32 hint and one stream. One process for each row, asked in
turn, one at a time. The scores that both runtimes (and torch, for the peers) give for the same
image agree within 1 %.

Times ours: the median over rounds of the ratio to our faster runtime in the same round. RSS: the
whole process after the last run, Python and runtime included. Bold: the faster runtime of each
model."""
DECLARED = """\
torchvision's build was not torch's: two of its operators (nms, qnms), which no model here calls,
were declared without code so that anomalib could be imported."""
BUSY = """\
The cores had other work before the run, so these figures are noisy. A short run is disturbed less
than a long one, which flatters ours."""


def cells(row: Row) -> tuple[str, ...]:
    """One row as text, in the order of HEADERS."""
    return (
        TITLES.get(row.timed.model, row.timed.model),
        row.timed.runtime,
        f"{row.p50_ms:.1f}",
        f"{row.p99_ms:.1f}",
        f"{row.ratio:.2f}",
        f"{row.ratio_low:.1f} .. {row.ratio_high:.1f}",
        f"{row.timed.rss_mib:.0f}",
        f"{row.timed.onnx_mib:.0f}",
    )


def verdicts(found: list[Row]) -> list[str]:
    """One line for each bar: the faster runtime of the peer against the faster one of ours."""
    best = {row.timed.model: row for row in found if row.faster}
    return [
        f"{TITLES[peer]} takes {best[peer].ratio:.1f} times as long as ours, wanted at least {bar:g}: "
        f"{'kept' if best[peer].ratio >= bar else 'MISSED'}."
        for peer, bar in BARS.items()
    ]


def notes(run: PeersRun) -> list[str]:
    """What the figures are of, and what they are not."""
    ours, peer = (next(t for t in run.timed if (t.model == OURS) is own) for own in (True, False))
    versions = ", ".join(f"{name} {number}" for name, number in run.versions.items())
    lines = [
        f"Machine: {run.machine}, {run.cores} cores, load {run.load_before:.1f} before the run; "
        f"{run.threads} threads for each model. Software: {versions}.",
        f"{len(ours.rounds_ms)} rounds; in each of them {len(ours.rounds_ms[0])} timed runs of every row, "
        "after one that is not counted.",
        f"Ours: {run.model_id}, trained. It takes {_input(ours)}: resizing to 256x256 and normalising are "
        f"timed with the rest. Each peer takes {_input(peer)} and is anomalib's torch model alone: resizing, "
        "post-processing and, but for EfficientAD-S, normalising are left out of its time.",
        *(" ".join(note.split("\n")) for note in NOTES.split("\n\n")),
    ]
    if run.torchvision_declared:
        lines.append(" ".join(DECLARED.split("\n")))
    if run.load_before > run.cores / 4:
        lines.append(" ".join(BUSY.split("\n")))
    return lines


def table(run: PeersRun) -> Table:
    """For the terminal; without the size of the file, to fit 80 columns."""
    from rich import box
    from rich.table import Table

    shown = Table(box=box.SIMPLE, padding=0)
    for header in HEADERS[:-1]:
        shown.add_column(header, justify="left" if header in HEADERS[:2] else "right", no_wrap=True)
    for row in rows(run):
        shown.add_row(*cells(row)[:-1], style="bold" if row.faster else None)
    return shown


def markdown(run: PeersRun) -> str:
    """The page: table, bars, notes."""
    found = rows(run)
    lines = [
        "# Beside anomalib",
        "",
        f"Written by `make bench-peers` from its run of {run.started_utc}; run it again instead of editing.",
        "",
        f"| {' | '.join(HEADERS)} |",
        f"|{'---|' * len(HEADERS)}",
        *(f"| {' | '.join(_emphasised(row))} |" for row in found),
        "",
        *(f"- {line}" for line in [*verdicts(found), *notes(run)]),
    ]
    return "\n".join(lines) + "\n"


def _emphasised(row: Row) -> tuple[str, ...]:
    return tuple(f"**{cell}**" for cell in cells(row)) if row.faster else cells(row)


def _input(timed: Timed) -> str:
    return f"{timed.dtype} {'x'.join(map(str, timed.shape))}"
