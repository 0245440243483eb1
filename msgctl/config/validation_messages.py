"""Plain texts for the validation errors that pydantic reports of a setting or an option."""

from collections.abc import Mapping
from typing import Any

TEXT_BY_ERROR_TYPE = {
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be a text",
    "list_type": "must be a list",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must look like {pattern}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "value_error": "{error}",
}
"""The text for each type of error. None of them quotes the value, which may be a secret."""


def describe_validation_fault(fault: Mapping[str, Any]) -> str:
    """Return a text that says what is wrong with a value.

    Args:
        fault: one item of `ValidationError.errors()`.
    """
    words = TEXT_BY_ERROR_TYPE.get(fault["type"])
    return words.format(**fault.get("ctx", {})) if words else str(fault["msg"])
