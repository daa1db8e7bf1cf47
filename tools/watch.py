"""`hlgfa watch`: live verdicts in the terminal, as lines in a pipe, or as JSON."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.access.keys import ClientKeys
    from pipeline.client import Message, ResultSubscriber
    from pipeline.stream_check import Notice

REDRAW_S = 0.25
"""Four times a second is live to a reader; ten cost a fifth of a core that the station may need."""


def watch(
    endpoint: Annotated[str, typer.Argument(help="The station's results address.")] = "tcp://127.0.0.1:5550",
    json: Annotated[bool, typer.Option("--json", help="One line of JSON a message.")] = False,
    count: Annotated[int | None, typer.Option(min=1, help="Stop after this many results.")] = None,
    server_key: Annotated[Path | None, typer.Option(help="The station's public key file.")] = None,
    keys: Annotated[Path | None, typer.Option(help="Your own secret key file.")] = None,
) -> None:
    """Show the verdicts of a station as they come; one on another machine wants keys (docs/security.md)."""
    try:
        _watch(endpoint, json=json, count=count, keys=client_keys(server_key, keys))
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        # The reader (`head`) has gone; without this the interpreter complains again while it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def client_keys(server: Path | None, secret: Path | None) -> ClientKeys | None:
    """The keys, None without any.

    Raises:
        ConfigError: only one of the two is given, or a file cannot be used.
    """
    from pipeline.access.keys import load_client_keys
    from pipeline.config import ConfigError

    if server is None and secret is None:
        return None
    if server is None or secret is None:
        raise ConfigError(
            "keys: found one of --server-key and --keys, expected both: the station's public file and your "
            "secret one. Run: hlgfa keys make"
        )
    return load_client_keys(secret=secret, server=server)


def _watch(endpoint: str, *, json: bool, count: int | None, keys: ClientKeys | None) -> None:
    from pipeline.client import ResultSubscriber

    with ResultSubscriber(endpoint, keys=keys) as subscriber:
        if json:
            for item in _until(subscriber, count):
                if item is not None:
                    print(_json_line(item), flush=True)
        elif sys.stdout.isatty():
            _show(subscriber, endpoint, count)
        else:
            _print_lines(subscriber, count)


def _until(subscriber: ResultSubscriber, count: int | None) -> Iterator[Message | Notice | None]:
    """What comes, until `count` results have come; None whenever nothing came for a while."""
    from pipeline.client import Message
    from pipeline.messages import ResultHeader

    results = 0
    while count is None or results < count:
        item = subscriber.receive(timeout_s=REDRAW_S)
        if isinstance(item, Message) and isinstance(item.header, ResultHeader):
            results += 1
        yield item


def _json_line(item: Message | Notice) -> str:
    import msgspec

    from pipeline.client import Message

    if isinstance(item, Message):
        fields: dict[str, object] = {"expired": item.expired, "header": item.header}
    else:
        fields = {"notice": type(item).__name__, **msgspec.structs.asdict(item)}
    return msgspec.json.encode(fields).decode()


def _print_lines(subscriber: ResultSubscriber, count: int | None) -> None:
    """Results and warnings as they come, the station's state when it changes."""
    from pipeline.client import Message
    from pipeline.messages import ResultHeader, StatusHeader
    from tools.watch_text import describe, plain_line, printable, state_words

    shown = ""
    for item in _until(subscriber, count):
        if item is None:
            continue
        if not isinstance(item, Message):
            print(printable(f"warning: {describe(item)}"), flush=True)
            shown = ""
        elif isinstance(item.header, ResultHeader):
            print(plain_line(item.header, expired=item.expired), flush=True)
        elif isinstance(item.header, StatusHeader):
            words, _ = state_words(item.header, stale=item.expired)
            line = printable(f"{item.header.line}/{item.header.station}: {words}")
            if line != shown:
                print(line, flush=True)
            shown = line


def _show(subscriber: ResultSubscriber, endpoint: str, count: int | None) -> None:
    """Draw at most every `REDRAW_S`, however fast the results come."""
    import time

    from rich.live import Live

    from tools.watch_view import WatchView

    view = WatchView(endpoint)
    drawn_s = time.monotonic()
    with Live(view.render(), auto_refresh=False) as live:
        for item in _until(subscriber, count):
            if item is not None:
                view.take(item)
            if time.monotonic() - drawn_s >= REDRAW_S:
                live.update(view.render(live.console.height), refresh=True)
                drawn_s = time.monotonic()
        live.update(view.render(live.console.height), refresh=True)
