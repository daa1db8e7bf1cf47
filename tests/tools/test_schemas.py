"""docs/schema is what the code says, and its examples are valid."""

import json

import jsonschema
import pytest

from pipeline.wire import HEADERS, encode
from support.messages import EXAMPLES, example
from tools.schemas import DIRECTORY, main, render, schemas

SCHEMAS = schemas()


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_schema_files_do_not_drift_from_the_code(name):
    found = (DIRECTORY / f"{name}.json").read_text(encoding="utf-8")
    assert found == render(SCHEMAS[name]), "Run python -m tools.schemas."


def test_there_is_a_file_for_each_schema_and_no_other(tmp_path):
    main(tmp_path)
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {path.name for path in DIRECTORY.glob("*.json")}
    assert {path.stem for path in EXAMPLES.glob("*.json")} == set(HEADERS)


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_a_schema(name):
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])


@pytest.mark.parametrize("kind", HEADERS)
def test_the_examples_are_valid_as_written_and_as_encoded(kind):
    validator = jsonschema.Draft202012Validator(SCHEMAS[kind])
    written = json.loads((EXAMPLES / f"{kind}.json").read_text(encoding="utf-8"))
    validator.validate(written)
    assert json.loads(encode(example(kind))) == written
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({**written, "seq": 0})
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({key: value for key, value in written.items() if key != "published_ns"})
