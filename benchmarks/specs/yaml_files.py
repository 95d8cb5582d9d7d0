"""Parses the YAML files that users write: spaces, experiments and start points."""

from __future__ import annotations

import re
from typing import Any

import yaml

_OTHER_ERRORS = (ValueError, LookupError, AttributeError, TypeError, OverflowError)
"""PyYAML 6 lets these through, for tags such as `!!int x` and dates such as 2020-13-45."""


def parse_yaml(text: str) -> Any:
    """Parses YAML as `yaml.safe_load` does, apart from two traps.

    A key that is twice in a mapping is refused, since one of the two values would be lost. `1e-3`
    is a number, as in YAML 1.2 and JSON; YAML 1.1 takes it for a text.

    Args:
        text: the content of a file.

    Returns:
        The content as dictionaries, lists, texts, numbers, booleans and None.

    Raises:
        yaml.YAMLError: if the text is no YAML, or a key is there twice. The message names the line,
            and not the source, which the caller knows.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        raise yaml.YAMLError(_fault(error)) from error
    except yaml.reader.ReaderError as error:
        raise yaml.YAMLError(f"character {error.position + 1}: {error.reason}") from error
    except RecursionError as error:
        raise yaml.YAMLError("it is nested too deeply") from error
    except _OTHER_ERRORS as error:
        raise yaml.YAMLError(f"{type(error).__name__}: {error}") from error


def _fault(error: yaml.MarkedYAMLError) -> str:
    """Writes an error of PyYAML, whose own text has several lines and a name for the source."""
    mark, text = error.problem_mark or error.context_mark, error.problem or str(error.context)
    begin = error.context_mark
    if mark is not None:
        text = f"line {mark.line + 1}: {text}"
        if begin is not None and begin.line != mark.line and error.problem:
            text += f" ({error.context} that begins in line {begin.line + 1})"
    return text


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key.value!r} is there twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)e[-+]?\d+\Z", re.ASCII | re.IGNORECASE),
    [*"-+.0123456789"],
)
