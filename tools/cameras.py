"""`hlgfa cameras`: what can be found on this machine and its network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

if TYPE_CHECKING:
    from pipeline.cameras.camera import FoundCamera


class Kind(NamedTuple):
    """A camera kind, the module whose `discover()` finds its devices, and what its library comes by."""

    name: str
    module: str
    install: str


KINDS = (
    Kind("pylon", "pipeline.cameras.pylon", "pip install 'hlgfa-line[pylon]'"),
    Kind("aravis", "pipeline.cameras.aravis", "apt-get install gir1.2-aravis-0.8 python3-gi"),
    Kind("genicam", "pipeline.cameras.genicam", "pip install 'hlgfa-line[genicam]'"),
    Kind("v4l2", "pipeline.cameras.v4l2", "pip install 'hlgfa-line[v4l2]'"),
)


def cameras(
    json: Annotated[bool, typer.Option("--json", help="A list of JSON objects, for programs.")] = False,
) -> None:
    """List the cameras that each installed kind finds, with what config.yaml selects them by."""
    import msgspec
    from rich.console import Console

    found: list[FoundCamera] = []
    notes: list[str] = []
    for kind in KINDS:
        devices = _discover(kind)
        if isinstance(devices, str):
            notes.append(f"{kind.name}: {devices}")
        else:
            found += devices
    for note in notes:
        Console(stderr=True, soft_wrap=True, highlight=False).print(note, markup=False)
    if json:
        print(msgspec.json.encode(found).decode())
    elif found:
        _print(found)
    else:
        print("no camera found")


def _discover(kind: Kind) -> list[FoundCamera] | str:
    """The devices of a kind, or a line that says why none can be looked for."""
    from importlib import import_module

    from pipeline.cameras.camera import CameraError

    try:
        module = import_module(kind.module)
        if not hasattr(module, "discover"):
            return "this kind cannot look for its cameras"
        devices: list[FoundCamera] = module.discover()
    except ImportError:
        return f"not installed: {kind.install}"
    except CameraError as error:
        return str(error)
    return devices


def _print(found: list[FoundCamera]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from tools.watch_text import printable

    table = Table()
    columns = ("kind", "vendor", "model", "serial", "user_id", "address", "note")
    for column in columns:
        table.add_column(column)
    for camera in found:
        table.add_row(*(Text(printable(getattr(camera, column))) for column in columns))
    Console().print(table)
