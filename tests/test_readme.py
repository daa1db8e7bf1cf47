"""The front door stays true: its example is the tested one, its files exist, its codes are the code's."""

import re
from pathlib import Path

from pipeline.messages import Reason

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_example_is_the_one_that_is_tested() -> None:
    example = (ROOT / "docs" / "examples" / "subscribe.py").read_text()
    code = example[example.index("import sys") :].rstrip()
    assert code in README
    assert len([line for line in code.splitlines() if line.strip()]) <= 15


def test_every_link_leads_somewhere() -> None:
    for page in (ROOT / "README.md", *ROOT.glob("docs/**/*.md"), ROOT / "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_reason_code_is_explained() -> None:
    table = README[README.index("| code | reason |") :].split("\n\n")[0]
    numbers = {int(number) for number in re.findall(r"\b\d+\b", table)}
    assert {int(reason) for reason in Reason} <= numbers
