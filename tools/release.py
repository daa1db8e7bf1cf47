"""`hlgfa release`: let the parts of a camera that is held because of drift be accepted again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def release(
    camera: Annotated[str, typer.Argument(help="Name of the camera.")],
    operator: Annotated[str, typer.Option(help="Who releases it; stands in the journal.")],
    *,
    endpoint: Annotated[str, typer.Option(help="The station's replay address.")] = "tcp://127.0.0.1:5552",
    new_baseline: Annotated[
        bool, typer.Option("--new-baseline", help="Learn anew what is steady: the line is to stay as it is.")
    ] = False,
    server_key: Annotated[Path | None, typer.Option(help="The station's public key file.")] = None,
    keys: Annotated[Path | None, typer.Option(help="Your own secret key file.")] = None,
) -> None:
    """End the hold of a camera and begin its drift charts anew (docs/drift.md)."""
    from pipeline.config import ConfigError
    from pipeline.requester import Requester, RequestError
    from pipeline.requests import ReleaseHoldReply, ReleaseHoldRequest
    from tools.watch import client_keys

    request = ReleaseHoldRequest(camera=camera, operator=operator, new_baseline=new_baseline)
    try:
        with Requester(endpoint, keys=client_keys(server_key, keys)) as requester:
            reply = requester.ask(request, ReleaseHoldReply)
    except RequestError as error:
        raise ConfigError(str(error)) from error
    if reply.reason:
        raise ConfigError(reply.reason)
    typer.echo(f"camera {camera}: {'released' if reply.released else 'was not held; its charts begin anew'}")
