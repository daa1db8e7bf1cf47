"""Energy of the processor packages, by the counters that Linux shows (RAPL); None where it shows none."""

from __future__ import annotations

from pathlib import Path

ROOT = Path("/sys/class/powercap")


class EnergyCounter:
    """Joules of all packages since the last `take`, idle share included; the counters may wrap once."""

    def __init__(self, root: Path = ROOT) -> None:
        self._packages = [path for path in sorted(root.glob("intel-rapl:*")) if path.name.count(":") == 1]
        self._last = self._read()

    def take(self) -> float | None:
        """Joules since the last call; None if there is no counter or it may not be read."""
        last, self._last = self._last, self._read()
        if last is None or self._last is None:
            return None
        total_uj = 0
        for path, before, after in zip(self._packages, last, self._last, strict=True):
            wrapped = int((path / "max_energy_range_uj").read_text()) if after < before else 0
            total_uj += after + wrapped - before
        return total_uj / 1e6

    def _read(self) -> list[int] | None:
        if not self._packages:
            return None
        try:
            return [int((path / "energy_uj").read_text()) for path in self._packages]
        except (OSError, ValueError):  # only root may read it on most systems
            return None
