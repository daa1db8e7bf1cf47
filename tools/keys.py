"""`hlgfa keys`: CURVE keys for stations and clients that are not on one machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

keys = typer.Typer(help="Make and allow CURVE keys (docs/security.md).", no_args_is_help=True)


@keys.command()
def make(
    out: Annotated[Path, typer.Option(help="Folder of keys; made with mode 0700.")],
    name: Annotated[str, typer.Option(help="Name of the pair.")] = "station",
) -> None:
    """Make a pair: NAME.key to hand out, NAME.key_secret to keep."""
    from pipeline.access.key_maker import make_keys

    public, secret = make_keys(out, name)
    print(f"{secret}: secret, stays on this machine")
    print(f"{public}: public, copy it to whom it is to meet")


@keys.command()
def allow(
    folder: Annotated[Path, typer.Argument(help="The station's folder of keys.")],
    client: Annotated[Path, typer.Argument(help="The client's public key file.")],
    name: Annotated[str, typer.Option(help="Name of the client in logs and events.")],
) -> None:
    """Let a client connect; a running station sees it within a second. To end it, remove the file."""
    from pipeline.access.key_maker import allow_key

    print(f"{allow_key(folder, client, name=name)}: may connect")


@keys.command("list")
def list_keys(
    folder: Annotated[Path, typer.Argument(help="A folder of keys.")] = Path("keys"),
) -> None:
    """Show the pairs of a folder and the clients that may connect; no secret is shown."""
    from pipeline.access.keys import ALLOWED, PUBLIC_SUFFIX, load_public_key
    from pipeline.config import ConfigError

    found = sorted(folder.glob(f"*{PUBLIC_SUFFIX}")) + sorted((folder / ALLOWED).glob(f"*{PUBLIC_SUFFIX}"))
    if not found:
        raise ConfigError(
            f"{folder}: found no keys, expected a folder of keys. Run: hlgfa keys make --out DIR"
        )
    for path in found:
        what = "may connect" if path.parent.name == ALLOWED else "own pair"
        print(f"{load_public_key(path).decode()}  {path.stem}  {what}")
