"""Makes the options of a command line from the fields of a pydantic model."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from types import GenericAlias
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel
from typer.models import OptionInfo


def declared_by(model: type[BaseModel]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds the options that a pydantic model declares to a command.

    A field is an option if its annotation contains a `typer.Option`. If a field is itself a model,
    the fields of that model are options too. Other fields are left out.

    Args:
        model: the model; each field that is an option has a default.

    Returns:
        A decorator for a command. The command must have a parameter `given`: a dictionary of the
        options' values by field name, nested as the model is, for the model's constructor.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        own = inspect.signature(command, eval_str=True).parameters
        arguments = [p for p in own.values() if p.name != "given"]
        parameters = [*_parameters(model), *arguments]

        @functools.wraps(command)
        def called(**values: Any) -> Any:
            passed = {name: values[name] for name in own if name != "given"}
            return command(given=_values(model, values), **passed)

        del called.__wrapped__  # typer would read the signature of the wrapped command instead
        called.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
        )
        called.__annotations__ = {p.name: p.annotation for p in parameters}
        return called

    return decorate


def _options(model: type[BaseModel]) -> Iterator[tuple[str, OptionInfo | type[BaseModel]]]:
    """Yields the name of each field with its option, or with its model if the field is a model."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield name, field.annotation
        for part in field.metadata:
            if isinstance(part, OptionInfo):
                yield name, part


def _parameters(model: type[BaseModel], prefix: str = "") -> Iterator[inspect.Parameter]:
    for name, option in _options(model):
        if not isinstance(option, OptionInfo):
            yield from _parameters(option, f"{prefix}{name}_")
            continue
        field = model.model_fields[name]
        kind: Any = field.annotation
        default = field.get_default(call_default_factory=True)
        if get_origin(kind) is tuple:  # typer 0.29 repeats an option for a list, not for a tuple
            kind, default = GenericAlias(list, get_args(kind)[:1]), list(default)
        yield inspect.Parameter(
            f"{prefix}{name}",
            inspect.Parameter.KEYWORD_ONLY,
            default=default,
            annotation=Annotated[kind, option],
        )


def _values(model: type[BaseModel], values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    return {
        name: values[f"{prefix}{name}"]
        if isinstance(option, OptionInfo)
        else _values(option, values, f"{prefix}{name}_")
        for name, option in _options(model)
    }
