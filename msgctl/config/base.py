"""The base class and the shared types of the sections of the settings."""

import ast
import inspect
from itertools import pairwise
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(gt=0, le=31_536_000)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]


class Section(BaseModel):
    """The base of every section. It rejects unknown keys. The docstring below a setting is its description."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @classmethod
    def descriptions(cls) -> dict[str, str]:
        """Return the docstring of each setting, read from the source.

        pydantic would collect them at each import of the model, although only two commands need them.
        """
        (definition,) = ast.parse(inspect.getsource(cls)).body
        body = definition.body if isinstance(definition, ast.ClassDef) else []
        return {
            setting.target.id: inspect.cleandoc(sentence.value.value)
            for setting, sentence in pairwise(body)
            if isinstance(setting, ast.AnnAssign)
            and isinstance(setting.target, ast.Name)
            and isinstance(sentence, ast.Expr)
            and isinstance(sentence.value, ast.Constant)
            and isinstance(sentence.value.value, str)
        }
