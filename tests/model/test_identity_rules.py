"""The core against the naive model: `make state-machine SEQUENCES=10000` tries more than `make test` does."""

import ast
import os
from pathlib import Path

import pytest

from tests.model.commands import as_test
from tests.model.machine import IdentityRules, IdentityRulesWithSmallLimits

SEQUENCES = int(os.environ.get("SEQUENCES", "200"))

TestIdentityRules = as_test(IdentityRules, SEQUENCES * 3 // 4, steps=30)
TestIdentityRulesWithSmallLimits = as_test(IdentityRulesWithSmallLimits, SEQUENCES - SEQUENCES * 3 // 4, steps=30)


@pytest.mark.parametrize("name", ["people", "naive_attach", "naive_identify", "naive_commands"])
def test_the_model_knows_nothing_of_the_service(name: str) -> None:
    tree = ast.parse((Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8"))
    imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {each.name for node in ast.walk(tree) if isinstance(node, ast.Import) for each in node.names}
    assert not [module for module in imported if module.startswith("airy_identify")]
    assert {module for module in imported if module.startswith("tests")} <= {
        "tests.model.people",
        "tests.model.naive_attach",
    }
