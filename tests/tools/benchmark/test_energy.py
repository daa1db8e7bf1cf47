from pathlib import Path

from tools.benchmark.energy import EnergyCounter


def _package(root: Path, name: str, energy_uj: int) -> None:
    (root / name).mkdir(exist_ok=True)
    (root / name / "energy_uj").write_text(f"{energy_uj}\n")
    (root / name / "max_energy_range_uj").write_text("10000000\n")


def test_packages_add_up_their_parts_do_not_and_a_wrap_is_counted(tmp_path: Path) -> None:
    _package(tmp_path, "intel-rapl:0", 1_000_000)
    _package(tmp_path, "intel-rapl:1", 9_000_000)
    _package(tmp_path, "intel-rapl:0:0", 5)
    counter = EnergyCounter(tmp_path)
    _package(tmp_path, "intel-rapl:0", 3_000_000)
    _package(tmp_path, "intel-rapl:1", 500_000)
    _package(tmp_path, "intel-rapl:0:0", 9_000_000)
    assert counter.take() == 2.0 + 1.5
    assert counter.take() == 0.0


def test_without_a_readable_counter_there_is_no_energy(tmp_path: Path) -> None:
    assert EnergyCounter(tmp_path).take() is None
    (tmp_path / "intel-rapl:0" / "energy_uj").mkdir(parents=True)
    assert EnergyCounter(tmp_path).take() is None
