"""The shape of a manifest file, as pydantic checks it and as editors are told of it.

The models judge one file's own words; what takes several places together (presets, aliases, what a
source allows) is judged in `manifest_text` after merging.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)

from reconciler.core.names import Sha256
from reconciler.core.reading.manifest_checks import (
    check_args,
    check_file_names,
    check_group,
    check_mmproj,
    check_preset,
    check_version,
    parse_max_prune,
)
from reconciler.core.reading.shape_faults import BadKeys
from reconciler.core.reading.source_text import check_revision

# The keys of a llama-swap model; others may stand beside them, for versions we have not seen.
SWAP_KEYS: Final = (
    "aliases",
    "capabilities",
    "checkEndpoint",
    "cmd",
    "cmdStop",
    "concurrencyLimit",
    "description",
    "env",
    "filters",
    "macros",
    "metadata",
    "name",
    "proxy",
    "sendLoadingState",
    "timeouts",
    "ttl",
    "unlisted",
    "useModelName",
)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ServeShape(BaseModel):
    """How llama-swap runs a model. Every other llama-swap model key may stand here too."""

    model_config = ConfigDict(extra="allow", strict=True)

    args: Annotated[dict[str, JsonValue], AfterValidator(check_args)] | None = Field(
        default=None,
        description="Arguments of the server, by name without dashes: true gives the bare flag, "
        "false or null leave it out (and take a default away), a list repeats it.",
    )
    cmd: str | None = Field(
        default=None,
        description="The whole command; ${model}, ${mmproj}, ${draft}, ${file.NAME}, ${server} "
        "and ${args} stand for ours.",
    )
    aliases: list[str] | None = Field(
        default=None, description="Further names of the model; each may be given once in all."
    )
    group: Annotated[str, AfterValidator(check_group)] | None = Field(
        default=None,
        description="The group of llama-swap's that the model is a member of; made where missing.",
    )

    @model_validator(mode="after")
    def _spelling(self) -> ServeShape:
        known = {key.lower(): key for key in SWAP_KEYS}
        # Only what can be no other key is refused: a newer llama-swap may know more of them.
        folded = {key: re.sub(r"[-_]", "", key).lower() for key in self.model_extra or {}}
        wrong = {
            key: f"llama-swap knows no {key!r}; did you mean {known[word]!r}?"
            for key, word in folded.items()
            if word in known and known[word] != key
        }
        if wrong:
            raise BadKeys(wrong)
        return self


class CommonShape(_Strict):
    """What `defaults`, a preset and a model can say alike. Null takes away what stands under it."""

    revision: Annotated[str, AfterValidator(check_revision)] | None = Field(
        default=None, description="Branch, tag or commit of the model's repository."
    )
    mmproj: Annotated[str, AfterValidator(check_mmproj)] | None = Field(
        default=None,
        description="Projector for images or sound: none (default), auto, "
        "or a path in the model's repository.",
    )
    update: Literal["pinned", "track"] | None = Field(
        default=None,
        description="pinned (default): the pin moves by `update` alone. track: `--watch` moves it "
        "too, where upstream has other files.",
    )
    protect: bool | None = Field(
        default=None,
        description="Never take this model's bytes and entry out until a manifest that says false "
        "has been applied.",
    )
    enabled: bool | None = Field(
        default=None,
        description="false: keep the bytes and the pin, fetch nothing, take the entry out.",
    )
    serve: ServeShape | None = Field(default=None, description="How llama-swap runs the model.")


class ModelShape(CommonShape):
    """One model, by its llama-swap ID."""

    source: str = Field(
        description="org/repo:QUANT, org/repo, hf://org/repo/path/file.gguf[@revision], a hub URL, "
        "https://… with sha256, file:///… or ./path."
    )
    preset: Annotated[
        list[str],
        PlainValidator(check_preset),
        WithJsonSchema(
            {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
        ),
    ] = Field(default=[], description="One preset or a list of them, merged in order.")
    sha256: (
        Annotated[
            str,
            AfterValidator(Sha256),
            WithJsonSchema({"type": "string", "pattern": "^[0-9a-fA-F]{64}$"}),
        ]
        | None
    ) = Field(default=None, description="Required for a plain https source, and only there.")
    draft: str | None = Field(
        default=None, description="Draft model for speculative decoding, written as a source."
    )
    files: Annotated[dict[str, str], AfterValidator(check_file_names)] | None = Field(
        default=None, description="Further files by name, each written as a source."
    )
    renamed_from: str | None = Field(
        default=None,
        description="The ID that the model had before: its entry is renamed, and nothing is "
        "fetched again. It may stay here for good.",
    )


class PolicyShape(_Strict):
    """What the manifest allows."""

    prune: Literal["trash", "keep", "delete"] = Field(
        default="trash", description="What happens to owned files that no model wants any more."
    )
    max_prune: Annotated[
        float | int,
        PlainValidator(parse_max_prune),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "integer", "minimum": 0},
                    {"type": "string", "pattern": r"^(100|[0-9]{1,2})\s*%$"},
                ],
            }
        ),
    ] = Field(default=0.25, description="How many models, or which share, one run may take out.")
    discover: Literal["off", "report", "serve"] = Field(
        default="off",
        description="GGUF files on the disk that no model declares: let alone (off), listed "
        "(report), or served with an entry that is made for each (serve).",
    )


class ManifestShape(_Strict):
    """One manifest file."""

    version: Annotated[Literal[1], BeforeValidator(check_version)] = Field(
        description="The version of this format: 1."
    )
    defaults: CommonShape | None = Field(default=None, description="Stands under every model.")
    presets: dict[str, CommonShape] | None = Field(
        default=None, description="Named bundles a model can take by `preset`."
    )
    policy: PolicyShape | None = Field(default=None, description="What the manifest allows.")
    models: dict[str, ModelShape] = Field(description="The models, by llama-swap ID.")


def valid_keys(place: tuple[str | int, ...]) -> tuple[str, ...]:
    """Give the keys that the mapping at `place` may hold; empty where any may."""
    match place:
        case ():
            shape: type[BaseModel] = ManifestShape
        case ("policy",):
            shape = PolicyShape
        case ("defaults",) | ("presets", _):
            shape = CommonShape
        case ("models", _):
            shape = ModelShape
        case _:
            return ()
    return tuple(shape.model_fields)


def manifest_json_schema() -> dict[str, Any]:
    """Give the JSON Schema of a manifest file, for editors."""
    schema = ManifestShape.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "reconciler manifest",
    }
