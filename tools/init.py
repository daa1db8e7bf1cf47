"""`hlgfa init`: a folder in which `hlgfa run` works, where there is no checkout to run it in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

CHECKOUT = Path(__file__).resolve().parents[1]
CONFIG, DEMO = Path("config.yaml"), Path("models") / "demo"


def init(
    directory: Annotated[Path, typer.Argument(help="Where to; it is made if it is not there.")] = Path(),
) -> None:
    """Write config.yaml and the demo model, ready for `hlgfa run`; what exists is not replaced."""
    from calibration.record import CalibrationError

    source = find_files()
    for path in (CONFIG, DEMO):
        if (directory / path).exists():
            raise CalibrationError(f"{directory / path}: exists. Name another directory, or remove it.")
    copy_files(source, directory)
    where = "" if directory == Path() else f"cd {directory} && "
    print(f"wrote {directory / CONFIG} and {directory / DEMO}. Run: {where}hlgfa run")
    print(f"units of systemd, dashboard and alerts lie in {source / 'deploy'}")


def find_files() -> Path:
    """The folder of what comes with the distribution: a checkout's own, or that of an installed wheel.

    Raises:
        CalibrationError: neither is there.
    """
    import sysconfig

    from calibration.record import CalibrationError

    installed = Path(sysconfig.get_path("data")) / "share" / "hlgfa"
    for folder in (CHECKOUT, installed):
        if (folder / CONFIG).is_file() and (folder / DEMO).is_dir():
            return folder
    raise CalibrationError(f"init: found no {CONFIG} and {DEMO} in {installed}. Install hlgfa-line again.")


def copy_files(source: Path, directory: Path) -> None:
    """Copy the configuration and the files, but no built engines, of the model."""
    import shutil

    (directory / DEMO).mkdir(parents=True)
    shutil.copyfile(source / CONFIG, directory / CONFIG)
    for path in sorted((source / DEMO).iterdir()):
        if path.is_file():
            shutil.copyfile(path, directory / DEMO / path.name)
