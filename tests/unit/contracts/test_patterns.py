"""A pattern of the wire is met by the whole text, and the documents say the very same pattern."""

import re
from typing import Annotated, Any

import attrs
import msgspec
import pytest

from townwatch.contracts.codec import ContractError, Decoder, schemas_of
from townwatch.contracts.decoding.patterns import NO_CONTROLS, ONE_WORD, WORDS
from townwatch.contracts.rest.shared import VillageId
from townwatch.contracts.tasks import Model
from townwatch.transports.http.app import OPERATIONS
from townwatch.transports.http.openapi import document


@attrs.frozen(kw_only=True)
class Example:
    village_id: VillageId = "demo"
    more: list[VillageId] = attrs.field(factory=list)
    model: Model | None = None
    name: Annotated[str, msgspec.Meta(pattern=NO_CONTROLS, max_length=9)] = ""


@pytest.mark.parametrize(
    ("value", "field", "why"),
    [
        ({"villageId": "demo\n"}, "villageId", "must match the pattern ^[A-Za-z0-9][A-Za-z0-9_.-]*$"),
        ({"more": ["a", "b\n"]}, "more[1]", "must match the pattern ^[A-Za-z0-9][A-Za-z0-9_.-]*$"),
        ({"name": "n\n"}, "name", "must not have control characters"),
        ({"name": "much too long"}, "name", "must have at most 9 characters"),
        *(
            ({"model": model}, "model", "must have no blanks and not begin with -")
            for model in ("m\n", "-m", "a b", "a\x1cb", "a\u2003b", "\u3000")
        ),
    ],
)
def test_what_does_not_meet_it_to_the_end_is_refused(value: dict[str, Any], field: str, why: str) -> None:
    with pytest.raises(ContractError) as refused:
        Decoder(Example).convert(value)
    assert (refused.value.field, refused.value.message) == (field, why)


def test_what_meets_it_is_taken() -> None:
    taken = Decoder(Example).convert({"villageId": "a.b-c_1", "more": ["x"], "model": "modèle-5[1m]", "name": "n é"})
    assert taken == Example(village_id="a.b-c_1", more=["x"], model="modèle-5[1m]", name="n é")


def test_a_schema_says_it_as_it_is_written() -> None:
    _, components = schemas_of([Example], "#/{name}")
    found = components["Example"]["properties"]
    assert found["more"]["items"]["pattern"] == "^[A-Za-z0-9][A-Za-z0-9_.-]*$"
    assert found["model"]["anyOf"][0]["pattern"] == ONE_WORD
    assert found["name"] == {"type": "string", "pattern": NO_CONTROLS, "maxLength": 9}


def patterns(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["pattern"]} if isinstance(value.get("pattern"), str) else set[str]()
        return own.union(*map(patterns, value.values()))
    return set[str]().union(*map(patterns, value)) if isinstance(value, list) else set()


def test_no_pattern_of_the_document_means_another_thing_in_javascript() -> None:
    found = patterns(document(OPERATIONS, "1"))
    assert set(WORDS) <= found
    assert [one for one in found if re.search(r"\\[sSwWdDbBZA]|\(\?", one)] == []
