"""What a header says of its model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from facecheck.core.errors import CheckpointError
from facecheck.model.checkpoint import Header, header_text, parse_header
from facecheck.model.facts import CAUTION, facts_of, knowledge, knowledge_text, state_text
from facecheck.model.transforms import Transform

HEADER = Header(
    "resnet18",
    ("photo", "cartoon", "generated"),
    Transform(32, 32, (0.5,) * 3, (0.5,) * 3),
    trained_on={"photo": {"album": 900}, "cartoon": {"comics": 1}, "generated": {"gan": 1200}},
    epoch=3,
    recipe={"epochs": 7},
    metrics={"val_top1": 0.9707},
)


def test_a_model_says_what_it_knows() -> None:
    facts = facts_of(HEADER)
    assert facts.never_saw == ("sketch", "painting", "sculpture", "composite")
    assert knowledge_text(facts) == (
        "the model knows photo, cartoon and generated (gan); it never saw sketch, painting, "
        "sculpture and composite"
    )
    assert dict(knowledge(facts)) == {
        "Knows": "photo, cartoon, generated",
        "Never saw": "sketch, painting, sculpture, composite",
        "Trained on, generated": "gan (1,200)",
        "Trained on, photo": "album (900)",
    }
    assert facts.caution == CAUTION


def test_many_sources_are_counted() -> None:
    many = {f"s{number:02}": number for number in range(20)}
    facts = facts_of(replace(HEADER, trained_on={"generated": many}))
    assert "s11, 8 more)" in knowledge_text(facts)
    assert dict(knowledge(facts))["Trained on, generated"].endswith("s11 (11) and 8 more")
    assert dict(knowledge(facts))["Trained on, photo"] == "sources that its file does not name"


def test_a_model_says_its_state() -> None:
    assert state_text(facts_of(HEADER)) == (
        "val top-1 97.07 % after epoch 3 of 7; not calibrated: its scores are no probabilities "
        "yet, run `facecheck calibrate`"
    )
    calibrated = replace(HEADER, calibration={"budget": 0.01}, metrics={}, recipe={})
    assert state_text(facts_of(calibrated)) == (
        "no val split after epoch 3; calibrated for errors of 1 %"
    )


def test_what_it_was_trained_on_stays_in_the_header() -> None:
    assert parse_header(header_text(HEADER), "h").trained_on == HEADER.trained_on
    for bad in ("7", '{"photo": 7}', '{"photo": {"a": "many"}}'):
        text = header_text(replace(HEADER, trained_on={})).replace(
            '"trained_on": {}', f'"trained_on": {bad}'
        )
        with pytest.raises(CheckpointError, match="h: damaged header"):
            parse_header(text, "h")
