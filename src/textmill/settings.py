"""What every section of a recipe has in common: typed, frozen, no unknown keys, each field documented where it stands.

The string below a field is its documentation: it becomes the help text and the reference page.
"""

import pydantic


class Settings(pydantic.BaseModel):
    """Base class of the sections of a recipe. Each package owns the section of its name."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
