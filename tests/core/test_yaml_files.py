from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml

from facecheck.core.errors import ConfigError
from facecheck.core.yaml_files import dump_yaml, parse_yaml, read_yaml

TEXTS = ("8:1:1", "12:30", "off", "no", "Yes", "007", "1_000", "2024-01-01", "0b1", "1e", "<<")


@pytest.mark.parametrize("text", TEXTS)
def test_what_only_yaml_1_1_takes_for_something_else_is_text(text: str) -> None:
    assert parse_yaml(f"a: {text}\nb: [{text}]\n", "x.yaml") == {"a": text, "b": [text]}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12), ("-3", -3), ("0", 0), ("0x1f", 31), ("0o17", 15), ("1.5", 1.5), ("1e-3", 0.001),
        (".5", 0.5), ("-.inf", -math.inf), ("true", True), ("FALSE", False), ("null", None),
        ("~", None), ("", None),
    ],
)  # fmt: skip
def test_numbers_truth_values_and_null(text: str, value: object) -> None:
    found = parse_yaml(f"a: {text}\n", "x.yaml")["a"]
    assert (found, type(found)) == (value, type(value))


def test_as_on_the_command_line_every_scalar_is_text_but_null() -> None:
    content = "a: [1.50, 0x10, true, 1e3, no]\nb: ~\nc:\n"
    assert parse_yaml(content, "x.yaml", as_text=True) == {
        "a": ["1.50", "0x10", "true", "1e3", "no"], "b": None, "c": None,
    }  # fmt: skip


def test_what_is_written_is_read_as_it_was_by_yaml_1_1_and_1_2() -> None:
    value = {text: [text, 1e-5, 3, True, None] for text in (*TEXTS, "1e-3", "0o17", "~", "a b")}
    assert parse_yaml(dump_yaml(value), "x.yaml") == value
    assert yaml.safe_load(dump_yaml(value, lists_in_one_line=True)) == value


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_files_of_windows_are_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes("source: é\r\nratio: 8:1:1\r\n".encode(encoding))
    assert read_yaml(path) == {"source": "é", "ratio": "8:1:1"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [", "x.yaml: not readable YAML"),
        ("a: 1\na: 2\n", "x.yaml: not readable YAML: 'a' is there twice"),
        ("a: {b: 1, 'b': 2}", "'b' is there twice"),
        ("!!python/object/apply:os.system ['true']", "not readable YAML"),
        (b"a: \xff", "not readable YAML"),
        ("[" * 5000, "not readable YAML"),
    ],
)
def test_what_is_no_yaml_is_said_in_a_line(content: str | bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        parse_yaml(content, "x.yaml")
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 400
