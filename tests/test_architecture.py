"""The house plan, held: who imports whom, and what no file may do."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pvr_jax"
FILES = sorted(PACKAGE.rglob("*.py")) + sorted((ROOT / "experiments").rglob("*.py"))

# Room -> the rooms of pvr_jax it may import besides itself.
ALLOWED_ROOMS = {
    "boolean": set(),
    "tasks": {"boolean"},
    "builders": {"tasks"},
    "models": set(),
    "training": set(),
    "theory": {"boolean", "tasks"},
    "analysis": {"boolean", "theory"},
    "results": set(),
    "reporting": {"results"},
}
# Files beside the rooms that every room may import, and that import no room.
FOUNDATIONS = ("checks", "number_text", "own_function", "refusal")
# Third-party packages that only certain rooms may use.
RESERVED = {
    "flax": {"models"},
    "orbax": {"training"},
    "sklearn": {"analysis", "tasks"},
    "xarray": {"results"},
    "altair": {"reporting"},
    "tensorflow_datasets": {"builders", "tasks"},
}


def imports(path: Path) -> set[str]:
    """Return the full dotted names that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def room_of(path: Path) -> str | None:
    parts = path.relative_to(ROOT).parts
    return parts[1] if parts[0] == "pvr_jax" and len(parts) > 2 else None


def identifier(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=identifier)
def test_imports_point_the_right_way(path):
    room = room_of(path)
    for name in imports(path):
        parts = name.split(".")
        if room and parts[0] == "pvr_jax" and parts[1] in ALLOWED_ROOMS:
            assert parts[1] in ALLOWED_ROOMS[room] | {room}, f"{room} imports {name}"
        if room:
            assert parts[0] != "experiments", f"{room} imports {name}"
        if parts[0] in RESERVED and room:
            assert room in RESERVED[parts[0]], f"{room} imports {name}"
        if room in ("results", "reporting"):
            assert parts[0] not in {"jax", "flax", "optax", "orbax"}, f"{room} imports {name}"


@pytest.mark.parametrize("name", FOUNDATIONS)
def test_what_all_rooms_import_imports_none(name):
    for found in imports(PACKAGE / f"{name}.py"):
        parts = found.split(".")
        assert parts[0] != "experiments", found
        assert parts[0] != "pvr_jax" or parts[1] in FOUNDATIONS, found


@pytest.mark.parametrize("path", FILES, ids=identifier)
def test_public_interfaces_only(path):
    for name in imports(path):
        assert "._src" not in name and not name.startswith("jax.core"), name
        assert name.split(".")[0] != "pickle", name
    calls = {
        node.func.id
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not calls & {"eval", "exec", "pmap"}


@pytest.mark.parametrize("path", FILES, ids=identifier)
def test_double_precision_is_switched_on_in_one_place(path):
    found = {
        node.attr
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
    }
    assert "enable_x64" not in found or path.name == "float64.py", "use float64.exact"


@pytest.mark.parametrize("path", FILES, ids=identifier)
def test_what_is_said_of_a_bad_value_is_a_refusal(path):
    # A ValueError is a fault, shown with its traceback. Readers of files may raise one: what they
    # raise becomes the one line about a damaged file.
    raised = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and getattr(node.exc.func, "id", None) == "ValueError"
    ]
    reads = path.stem in {"reading", "run_log"}
    assert reads or not raised, f"raise Refusal in the lines {raised}"


@pytest.mark.parametrize("path", FILES, ids=identifier)
def test_files_have_a_noun_and_stay_short(path):
    assert path.stem not in {"utils", "common", "helpers", "misc"}
    assert len(path.read_text().splitlines()) <= 420, "a file near 400 lines is asking to be two"


def test_experiments_do_not_import_each_other():
    for path in (ROOT / "experiments").rglob("*.py"):
        own = path.relative_to(ROOT / "experiments").parts[0]
        shared = {"command_line", "fields_help", "flags", "main", "registry", "reports"}
        for name in imports(path):
            parts = name.split(".")
            if parts[0] == "experiments" and len(parts) > 1 and own != "main.py":
                assert parts[1] in {own, *shared}, f"{identifier(path)} imports {name}"


def test_configs_import_ml_collections_and_each_other_only():
    configs = sorted((ROOT / "configs").glob("*.py"))
    assert configs
    for path in configs:
        rooms = {name.split(".")[0] for name in imports(path)}
        assert rooms <= {"ml_collections", "configs", "typing"}, path.name
