"""llama-swap's macros: what a config declares, and what a text becomes once they are expanded."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from reconciler.core.llamaswap.commandline import MACRO
from reconciler.core.llamaswap.shapes import as_mapping


def macro_scope(data: Mapping[str, object], model: str | None = None) -> dict[str, object]:
    """Give the macros that hold in a model (None: outside of models), in order of declaration.

    A model's own macro takes the place of a global one of that name; `MODEL_ID` comes first.
    """
    if model is None:
        return _declared(data)
    entry = as_mapping(as_mapping(data.get("models")).get(model))
    return model_scope(_declared(data), model, entry)


def model_scope(
    shared: Mapping[str, object], model: str, entry: Mapping[str, object]
) -> dict[str, object]:
    """Give the same for a model's `entry`, where the macros `shared` hold outside of models."""
    scope = {"MODEL_ID": model, **shared}
    if "macros" in entry:
        scope.update(_declared(entry))
    return scope


def macro_texts(data: Mapping[str, object], model: str | None = None) -> dict[str, str]:
    """Give the same scope with each value as the text that takes the macro's place."""
    return {name: value_text(value) for name, value in macro_scope(data, model).items()}


def expand(text: str, scope: Mapping[str, object]) -> str:
    """Expand the macros of `scope` in `text`.

    The last one declared is replaced first, so that a value may use the macros above it and no
    others.
    """
    for name in reversed(list(scope)):
        if "${" not in text:
            break
        text = text.replace(f"${{{name}}}", value_text(scope[name]))
    return text


def expand_value(value: object, scope: Mapping[str, object]) -> object:
    """Expand a scalar as the 2026 builds do: a value that is one macro alone takes its type."""
    if not isinstance(value, str) or "${" not in value:
        return value
    for name in reversed(list(scope)):
        if not isinstance(value, str):
            break
        slug = f"${{{name}}}"
        value = scope[name] if value == slug else value.replace(slug, value_text(scope[name]))
    return value


def macro_names(text: str) -> tuple[str, ...]:
    """Give the names of the macros in `text`, each once; `env.` macros are left out.

    What the environment holds is known to llama-swap alone.
    """
    names = dict.fromkeys(MACRO.findall(text))
    return tuple([name for name in names if not name.startswith("env.")])


def value_text(value: object) -> str:
    """Write a macro's value as Go prints it: `true`, `4096`, and 0.70 as `0.7`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float_text(value)
    return str(value)


def _float_text(value: float) -> str:
    number = Decimal(repr(value))
    if not number.is_finite():
        return {"Infinity": "+Inf", "-Infinity": "-Inf"}.get(str(number), "NaN")
    # Go's %v goes over to an exponent below 1e-4 and from 1e6 on.
    if number == 0 or -4 <= number.adjusted() < 6:
        text = f"{number:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    digits = "".join(map(str, number.normalize().as_tuple().digits))
    point = f".{digits[1:]}" if digits[1:] else ""
    sign = "-" if value < 0 else ""
    return f"{sign}{digits[0]}{point}e{number.adjusted():+03d}"


def _declared(section: Mapping[str, object]) -> dict[str, object]:
    return {str(name): value for name, value in as_mapping(section.get("macros")).items()}
