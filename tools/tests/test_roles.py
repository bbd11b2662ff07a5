"""What a role takes is said twice, as defaults and as a specification; both must name the same variables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = Path(__file__).resolve().parents[2] / "roles"


def options(role: str) -> dict[str, dict[str, Any]]:
    """The options of all entry points of a role."""
    specs = yaml.safe_load((ROLES / role / "meta" / "argument_specs.yml").read_text())["argument_specs"]
    return {name: option for entry in specs.values() for name, option in (entry.get("options") or {}).items()}


@pytest.mark.parametrize("role", sorted(path.name for path in ROLES.iterdir()))
def test_defaults_and_specification_name_the_same_variables(role: str) -> None:
    defaults = yaml.safe_load((ROLES / role / "defaults" / "main.yml").read_text())
    optional = {name for name, option in options(role).items() if not option.get("required")}
    assert set(defaults) == optional
    assert all(name.startswith(f"{role}_") for name in options(role))


@pytest.mark.parametrize("role", sorted(path.name for path in ROLES.iterdir()))
def test_every_option_is_described(role: str) -> None:
    assert all(option.get("type") and option.get("description") for option in options(role).values())
