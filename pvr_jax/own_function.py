"""Importing a function of the user's own by its name, 'module:function'."""

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pvr_jax import checks


@contextlib.contextmanager
def working_directory_importable() -> Iterator[None]:
    """Let modules of the working directory be imported, after the installed ones."""
    here = str(Path.cwd())
    if here in sys.path:
        yield
        return
    sys.path.append(here)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(here)


def one_line(error: BaseException) -> str:
    """Return the type and the first line of an exception."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def find(name: str, field: str = "name") -> Callable[..., Any]:
    """Import the function that 'module:function' names; `field` is what a complaint begins with.

    Raises:
        Refusal: there is no such module, it does not import, or has no such function.
    """
    module_name, _, function_name = name.partition(":")
    parts = [*module_name.split("."), function_name]
    if not all(part.isidentifier() for part in parts):
        raise checks.invalid(
            field, name, "'module:function' with a module and a function of Python"
        )
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or module_name
        if module_name == missing or module_name.startswith(missing + "."):
            allowed = "a module that is installed or lies in the working directory"
            raise checks.invalid(field, name, f"{allowed} (no module named {missing!r})") from error
        raise checks.invalid(field, name, f"a module that imports ({one_line(error)})") from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever the user's module raises, exit() too, is told
        raise checks.invalid(field, name, f"a module that imports ({one_line(error)})") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        kind = "is not a function" if hasattr(module, function_name) else "is not there"
        allowed = f"a function of module {module_name!r} ({function_name!r} {kind})"
        raise checks.invalid(field, name, allowed)
    return function
