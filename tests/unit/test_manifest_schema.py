"""What editors are told of the manifest, and what people are: both true to the parser."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from reconciler.core.reading.manifest_schema import (
    CommonShape,
    ManifestShape,
    ModelShape,
    PolicyShape,
    ServeShape,
    manifest_json_schema,
)
from reconciler.core.reading.manifest_text import ManifestText, parse_manifest

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "manifest.md"
BLOCKS = re.findall(r"```yaml\n(.*?)```", REFERENCE.read_text(), re.DOTALL)


def test_the_schema_describes_every_key() -> None:
    """An editor shows a sentence for each key, and knows each key there is."""
    schema = json.loads(json.dumps(manifest_json_schema()))
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) == {"version", "models"}
    for shape in (ServeShape, CommonShape, ModelShape, PolicyShape):
        properties = schema["$defs"][shape.__name__]["properties"]
        assert set(properties) == set(shape.model_fields)
        assert all(each.get("description") for each in properties.values())
    assert all(each.get("description") for each in schema["properties"].values())
    assert set(schema["properties"]) == set(ManifestShape.model_fields)


@pytest.mark.parametrize("block", [block for block in BLOCKS if "version: 1" in block])
def test_every_manifest_in_the_reference_is_one(block: str) -> None:
    """An example that people copy is taken as it stands."""
    text = ManifestText(path="manifest.md", folder="/srv/manifests", data=block.encode())
    assert parse_manifest([text]).paths == ("manifest.md",)


def test_the_reference_has_examples_and_names_every_key() -> None:
    """The reference leaves no key out, and shows whole manifests."""
    words = REFERENCE.read_text()
    assert sum(block.startswith("version: 1") for block in BLOCKS) >= 5
    for shape in (ManifestShape, ServeShape, ModelShape, PolicyShape):
        assert [key for key in shape.model_fields if f"`{key}`" not in words] == []


def test_the_example_manifest_is_one() -> None:
    """The example that comes with the project is taken, and is more than empty."""
    path = ROOT / "manifests" / "example.yaml"
    text = ManifestText(path=str(path), folder=str(path.parent), data=path.read_bytes())
    assert parse_manifest([text]).models
