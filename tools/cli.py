"""The `hlgfa` command: one verb a module, heavy imports inside the verbs so that `--help` is instant."""

from __future__ import annotations

import typer

from tools.audit import audit
from tools.bench import bench
from tools.calibrate import calibrate
from tools.cameras import cameras
from tools.check import check
from tools.dashboard import dashboard
from tools.doctor import doctor
from tools.errors import run_app
from tools.evaluate import evaluate
from tools.gateway import gateway
from tools.grab import grab
from tools.init import init
from tools.keys import keys
from tools.metrics import metrics
from tools.recipe import recipe
from tools.record import record
from tools.release import release
from tools.replay import replay
from tools.roi import roi
from tools.run import run
from tools.simulate import simulate
from tools.soak import soak
from tools.teach import teach
from tools.train import train
from tools.watch import watch

app = typer.Typer(
    name="hlgfa",
    help="Line monitor: camera frames to pass/fail and heatmaps, learned from good parts only.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(run)
app.command()(init)
app.command()(check)
app.command()(doctor)
app.command()(audit)
app.command()(watch)
app.command()(dashboard)
app.command()(gateway)
app.command()(metrics)
app.command()(cameras)
app.command()(grab)
app.command()(record)
app.command()(replay)
app.command()(release)
app.command()(teach)
app.command()(train)
app.command()(calibrate)
app.command()(evaluate)
app.command()(roi)
app.command()(bench)
app.command()(soak)
app.command()(simulate)
app.add_typer(keys, name="keys")
app.add_typer(recipe, name="recipe")


def main() -> None:
    """Run the command line; a foreseen error is one line on stderr and exit code 2."""
    run_app(app)


if __name__ == "__main__":
    main()
