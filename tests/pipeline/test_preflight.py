"""What is checked of a station without starting it."""

from pathlib import Path

import msgspec

from pipeline.config import SocketsConfig
from pipeline.preflight import check_station
from support.lines import folder_camera, make_config, paint_parts, running


def test_what_the_running_station_has_taken_is_nothing_wrong(tmp_path: Path) -> None:
    config = make_config(tmp_path, [folder_camera(paint_parts(tmp_path / "parts", 5), loop=True)])
    with running(config) as line:
        addresses = {name: line.station.endpoints[name] for name in ("results", "heatmaps", "replay")}
        taken = msgspec.structs.replace(config, sockets=msgspec.convert(addresses, SocketsConfig))
        line.wait_for(lambda: bool(line.results), "a result")
        findings = list(check_station(taken))
        elsewhere = msgspec.structs.replace(
            taken, station=msgspec.structs.replace(taken.station, journal_dir=str(tmp_path / "other"))
        )
        others = {finding.what: finding.error for finding in check_station(elsewhere)}
    assert [finding.error for finding in findings if finding.error is not None] == []
    assert [finding.what for finding in findings if finding.what.startswith("sockets.")] == [
        f"sockets.{name}: taken while a station with this journal runs" for name in addresses
    ]
    for name, address in addresses.items():
        assert address in (others[f"sockets.{name}"] or "")
