"""The tree is the architecture: imports go down, and heavy libraries stay where they belong."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# For each part: the parts of ours that it may import.
ALLOWED = {
    "db": set(),
    "ki67.values": {"ki67.values"},
    "ki67.stains": {"ki67.values"},
    "ki67.synthetic": {"ki67.values", "ki67.stains"},
    "ki67.pipeline": {"ki67.values", "ki67.stains"},
    "ki67.stats": {"ki67.values"},
    "ki67.training": {"ki67.values", "ki67.pipeline", "ki67.synthetic", "ki67.stains", "ki67.stats"},
    "ki67.study": {
        "ki67.values",
        "ki67.pipeline",
        "ki67.synthetic",
        "ki67.stats",
        "ki67.training",
        "ki67.charts",
        "db",
    },
    "ki67.charts": {"ki67.values"},
    "ki67.cli": {
        "ki67.values",
        "ki67.pipeline",
        "ki67.stats",
        "ki67.training",
        "ki67.study",
        "ki67.synthetic",
        "bench",
    },
    "bench": {
        "ki67.values",
        "ki67.pipeline",
        "ki67.stains",
        "ki67.synthetic",
        "ki67.study",
        "ki67.stats",
        "ki67.training",
        "viewer",
        "bench",
    },
    "viewer": {"ki67.values", "ki67.study", "ki67.pipeline"},
    "pages": {"ki67.values", "ki67.study", "ki67.charts", "viewer"},
}
# Heavy libraries and the only parts that may import them.
ONLY_IN = {
    "streamlit": {"pages", "viewer", "bench"},
    "torch": {"ki67.pipeline", "ki67.training", "ki67.cli", "bench"},
    "segmentation_models_pytorch": {"ki67.pipeline", "ki67.training"},
    "openvino": {"ki67.pipeline", "bench"},
    "sqlalchemy": {"db"},
    "alembic": {"db"},
    "plotly": {"ki67.charts", "pages"},
    "jinja2": {"ki67.study"},
    "weasyprint": {"ki67.study"},
}
VALUES = {"types", "errors", "settings", "atomic", "index", "sites", "numbers", "answers", "__init__"}


def part_of(module: str) -> str:
    """The part of the architecture that a dotted module name belongs to."""
    names = module.split(".")
    if names[0] == "app":
        return "pages"
    if names[0] != "ki67":
        return names[0]
    second = names[1] if len(names) > 1 else "__init__"
    if second in VALUES:
        return "ki67.values"
    if second.startswith("cli") or second == "__main__":
        return "ki67.cli"
    if second.startswith("charts"):
        return "ki67.charts"
    if second.startswith("synthetic"):
        return "ki67.synthetic"
    return f"ki67.{second}"


def modules() -> list[tuple[str, Path]]:
    found = [("app", ROOT / "app.py")]
    for top in ("ki67", "db", "viewer", "pages", "bench"):
        for path in sorted((ROOT / top).rglob("*.py")):
            if "node_modules" not in path.parts:
                found.append((".".join(path.relative_to(ROOT).with_suffix("").parts), path))
    return [(name, path) for name, path in found if path.exists()]


def imports_of(path: Path) -> set[str]:
    """Every imported module, `from package import module` spelled out for packages of ours."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            for alias in node.names:
                inner = ROOT / Path(*node.module.split(".")) / f"{alias.name}.py"
                if inner.exists():
                    found.add(f"{node.module}.{alias.name}")
    return found


@pytest.mark.parametrize(("name", "path"), modules(), ids=[name for name, _ in modules()])
def test_a_module_imports_only_from_the_parts_below_it(name: str, path: Path) -> None:
    part = part_of(name)
    ours = {"ki67", "db", "viewer", "pages", "bench", "app"}
    for imported in imports_of(path):
        if imported.split(".")[0] not in ours or imported == "ki67":
            continue
        target = part_of(imported)
        assert target == part or target in ALLOWED[part], f"{name} ({part}) imports {imported} ({target})"


@pytest.mark.parametrize(("name", "path"), modules(), ids=[name for name, _ in modules()])
def test_heavy_libraries_stay_in_their_part(name: str, path: Path) -> None:
    for imported in imports_of(path):
        library = imported.split(".")[0]
        if library in ONLY_IN:
            assert part_of(name) in ONLY_IN[library], f"{name} imports {library}"


@pytest.mark.parametrize(
    "module",
    ["ki67.cli", "ki67.settings", "ki67.pipeline.images", "ki67.study.detection", "ki67.study.worker"],
)
def test_importing_it_does_not_load_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'openvino' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
