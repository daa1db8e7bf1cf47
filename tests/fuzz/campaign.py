"""Runs the fuzzers of all decoders in turn and prints a line of each; findings stay in out/fuzz."""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "lib")]
SLOWEST_S, MEMORY_MB = 10, 2048


def fuzz(name: str, seeds: list[bytes], *, runs: int, seconds: int, out: Path) -> str:
    """One line: inputs, seconds, features seen, and where a finding is."""
    corpus = out / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (corpus / f"seed{number}").write_bytes(seed)
    options = [f"-runs={runs}", f"-max_total_time={seconds}", f"-timeout={SLOWEST_S}", "-max_len=8192"]
    options += [f"-rss_limit_mb={MEMORY_MB}", f"-artifact_prefix={out}/{name}-", "-print_final_stats=1"]
    begin_s = time.monotonic()
    program = [sys.executable, str(ROOT / "tests" / "fuzz" / "fuzz.py"), name, *options, str(corpus)]
    with (
        (out / f"{name}.log").open("w+", errors="replace") as log,
        tempfile.TemporaryDirectory(dir="/dev/shm") as memory,  # libFuzzer leaves without cleaning up
    ):
        environment = {**os.environ, "TMPDIR": memory}
        code = subprocess.run(program, stdout=log, stderr=log, env=environment, check=False).returncode
        log.seek(0)
        text = log.read()
    done = re.findall(r"#(\d+)\t", text)
    peak = re.search(r"peak_rss_mb:\s*(\d+)", text)
    inputs = int(done[-1]) if done else 0
    verdict = "nothing found" if code == 0 else f"exit code {code}: see {out}/{name}.log"
    took_s = time.monotonic() - begin_s
    return f"| {name} | {inputs:,} | {took_s:.0f} s | {peak[1] if peak else '?'} MB | {verdict} |"


def main() -> None:
    """Fuzz the named decoders, all without names."""
    from support.decoders import DECODERS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*DECODERS, []], help="decoders; all without")
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=int, default=3600, help="at most, of each")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "fuzz")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or DECODERS:
        line = fuzz(
            name,
            list(DECODERS[name].seeds),
            runs=arguments.runs,
            seconds=arguments.seconds,
            out=arguments.out,
        )
        print(line, flush=True)


if __name__ == "__main__":
    main()
