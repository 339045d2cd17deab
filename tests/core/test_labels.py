"""The words that files use are enums in code, and plain text in every file."""

from __future__ import annotations

import csv
import io
import json
import pickle
from enum import StrEnum

import polars as pl
import pytest

from facecheck.core.errors import UsageError
from facecheck.core.labels import KINDS, Kind, Status, Verdict, check_kind

ALL = [*Kind, *Verdict, *Status]


def test_the_words_are_those_of_the_files() -> None:
    assert " ".join(KINDS) == "photo cartoon sketch painting sculpture generated composite"
    assert [str(one) for one in Verdict] == ["real", "artificial", "uncertain"]
    assert [str(one) for one in Status] == ["ok", "no_face", "too_small", "error"]


@pytest.mark.parametrize("word", ALL)
def test_a_word_is_written_as_its_plain_text(word: StrEnum) -> None:
    line = io.StringIO()
    csv.writer(line).writerow([word])
    assert line.getvalue() == f"{word.value}\r\n"
    assert json.dumps({word: word}) == f'{{"{word.value}": "{word.value}"}}'
    assert f"{word:>12}" == f"{word.value:>12}"
    assert pickle.loads(pickle.dumps(word)) is word


@pytest.mark.parametrize("word", ALL)
def test_a_column_of_text_is_compared_with_a_word(word: StrEnum) -> None:
    frame = pl.DataFrame({"word": [word.value, "other"]})
    assert frame.filter(pl.col("word") == word).height == 1
    assert frame.filter(pl.col("word").is_in([word])).height == 1
    made = frame.with_columns(pl.when(pl.col("word") == word).then(pl.lit(word)).alias("made"))
    assert made["made"].to_list() == [word.value, None]
    assert made.schema["made"] == pl.String


def test_a_kind_that_is_none_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"unknown kind 'carton' in m\.csv.*did you mean.*cartoon"):
        check_kind("carton", "m.csv")
    for other, kind in (("Photoshopped", "composite"), ("GAN", "generated"), ("Real", "photo")):
        with pytest.raises(UsageError, match=f"did you mean '{kind}'"):
            check_kind(other, "m.csv")
