"""What reading a record refuses, and the sentence that it says."""

import re
from pathlib import Path

import msgspec
import pytest

from engines.records import read_record, replacing, write_record

SCHEMA = "hlgfa.weight/1.0"
NO_UTF_8 = "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"
NOT_READ = "cannot be read ({}). Weigh again."


class Weight(msgspec.Struct, frozen=True):
    grams: int
    schema: str = SCHEMA


class WeightError(Exception):
    pass


def read(path: Path, schema: str | None = SCHEMA) -> Weight:
    return read_record(path, Weight, schema, WeightError, missing="nothing was weighed", do="Weigh again.")


def test_a_record_is_read_back(tmp_path: Path) -> None:
    write_record(Weight(250), tmp_path / "weight.json")
    assert read(tmp_path / "weight.json") == Weight(250)
    assert [path.name for path in tmp_path.iterdir()] == ["weight.json"]


def test_a_file_whose_writer_fails_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "weight.json"
    write_record(Weight(250), path)
    with pytest.raises(TypeError), replacing(path) as file:
        file.write("no bytes")  # type: ignore[arg-type]
    assert read(path) == Weight(250)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "not found; nothing was weighed. Weigh again."),
        (b"", NOT_READ.format("Input data was truncated")),
        (b'{"grams": 1, "schema": "\xff"}', NOT_READ.format(NO_UTF_8)),
        (b'{"grams": "heavy"}', NOT_READ.format("Expected `int`, got `str` - at `$.grams`")),
        (
            b'{"grams": 1, "schema": "hlgfa.weight/9.0"}',
            "found schema 'hlgfa.weight/9.0', expected 'hlgfa.weight/1.0'. Weigh again.",
        ),
    ],
)
def test_a_record_that_cannot_be_used_says_what_found_expected_do(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    path = tmp_path / "weight.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightError, match=f"^{re.escape(f'{path}: {said}')}$"):
        read(path)


def test_a_folder_in_the_files_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightError, match=rf"^{tmp_path}: cannot be read \(.*Is a directory"):
        read(tmp_path)


def test_a_caller_may_judge_the_schema_itself(tmp_path: Path) -> None:
    write_record(Weight(1, schema="hlgfa.weight/9.0"), tmp_path / "weight.json")
    assert read(tmp_path / "weight.json", schema=None).schema == "hlgfa.weight/9.0"
