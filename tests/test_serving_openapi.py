"""The OpenAPI document is true: whatever is asked by it, and against it, is answered as it says, and never with a fault."""

from __future__ import annotations

import os

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import positive_data_acceptance
from serving import serving

from vecsearch.serving.guard import Access

FULL = os.environ.get("SERVING") == "full"
EXAMPLES = 1000 if FULL else 25
"""Of requests to each address; without FULL always the same ones."""


@pytest.fixture(scope="module")
def document(served_folder):
    with serving({"films": served_folder}, Access(open=True), condition=0.2) as served:
        yield schemathesis.openapi.from_asgi("/openapi.json", served.client.app)


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: mode.value)
def test_every_answer_is_one_of_those_described(document, mode):
    asked = []
    for found in document.get_all_operations():
        operation = found.ok()
        if mode.is_negative and not (operation.body or list(operation.iter_parameters())):
            continue  # nothing can be wrong with it

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=EXAMPLES,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            database=None,
            derandomize=not FULL,
        )
        def answered_as_described(case):
            # A schema cannot say which conditions are understood, and that k and offset are bounded together.
            case.call_and_validate(excluded_checks=[positive_data_acceptance])

        answered_as_described()
        asked.append(operation.label)
    assert len(asked) == (7 if mode.is_negative else 12)
