"""The layer table of the house, read out of the code: imports point down, sideways only as named here."""

import ast
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = (
    ("types", "artifacts", "config", "stats", "recipes"),
    ("tokenizer", "chat", "corpus", "store", "primer"),
    ("model", "engine", "knowledge", "exam"),
    ("train", "feedback"),
    ("turn",),
    ("serve", "export", "demo", "progress", "status", "cli"),
)
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
SIDEWAYS = {("recipes", "config"), ("chat", "tokenizer"), ("engine", "model"), ("exam", "engine"), ("demo", "serve"), ("demo", "progress")}
TORCH_FREE = {*LAYERS[0], *LAYERS[1], "feedback", "turn", "serve", "demo", "progress", "status", "cli", "population", ""}
NEVER_FROM_SERVE = {"train", "turn", "demo", "cli", "population"}
GRAVEYARDS = {"utils", "util", "common", "helpers", "misc"}

Modules = dict[str, ast.Module]
Graph = dict[str, set[tuple[str, bool]]]


def read_modules(package: Path) -> Modules:
    paths = {path: path.relative_to(package.parent).with_suffix("").parts for path in sorted(package.rglob("*.py"))}
    return {".".join(p for p in parts if p != "__init__"): ast.parse(path.read_text(encoding="utf-8")) for path, parts in paths.items()}


def imports_of(node: ast.AST, at_import: bool = True) -> Iterator[tuple[str, bool]]:
    """(module, whether it is loaded when the importing file is); a function's or a type checker's import is not."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name, at_import) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            base = "." * child.level + (child.module or "")
            yield from ((name, at_import) for name in (base, *(f"{base}.{alias.name}" for alias in child.names)))
        checked = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
        yield from imports_of(child, at_import and not checked and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))


def lazy_names(tree: ast.Module) -> set[tuple[str, bool]]:
    """Modules named by strings ("feilun.room:Class") in a file that imports by name."""
    if not any(isinstance(n, ast.Attribute | ast.Name) and "import_module" in ast.dump(n) for n in ast.walk(tree)):
        return set()
    texts = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    return {(text.partition(":")[0], False) for text in texts if re.fullmatch(r"feilun(\.\w+)+(:\w+)?", text)}


def graph_of(modules: Modules) -> Graph:
    """Every module's imports; of names below feilun only those that are modules."""
    found = {name: {*imports_of(tree), *lazy_names(tree)} for name, tree in modules.items()}
    return {name: {(t, now) for t, now in targets if t in modules or t.split(".")[0] != "feilun"} for name, targets in found.items()}


def reach(graph: Graph, start: str, *, loaded_only: bool) -> set[str]:
    """Everything that `start` comes to import, packages on the way included."""
    seen: set[str] = set()
    queue = [start]
    while queue:
        name = queue.pop()
        if name not in seen:
            seen.add(name)
            queue += [t for t, now in graph.get(name, ()) if now or not loaded_only]
            queue += [name.rpartition(".")[0]] if "." in name and name in graph else []
    return seen


def room_of(module: str) -> str:
    return module.split(".")[1] if module.startswith("feilun.") else ""


def is_allowed(room: str, target: str, at_import: bool) -> bool:
    other = room_of(target)
    if not target.startswith("feilun"):
        return room != "population" or target.split(".")[0] in {*sys.stdlib_module_names, "httpx"}
    if other in (room, "") or (room == "cli" and not at_import):
        return True
    if room in ("population", "cli", ""):
        return other == "types" or (room == "cli" and LEVEL.get(other) == 0)
    return LEVEL.get(other, 99) < LEVEL.get(room, -1) or (room, other) in SIDEWAYS or (other == "types" and room in LAYERS[0])


def layer_faults(modules: Modules) -> Iterator[str]:
    graph = graph_of(modules)
    for module, targets in graph.items():
        room = room_of(module)
        if room and room not in {*LEVEL, "population"}:
            yield f"{module}: room {room!r} stands in no layer"
        yield from (f"{module} imports by dots: {t}" for t, _ in sorted(targets) if t.startswith("."))
        yield from (f"{module} may not import {t}" for t, now in sorted(targets) if not t.startswith(".") and not is_allowed(room, t, now))


def reach_faults(modules: Modules) -> Iterator[str]:
    graph = graph_of(modules)
    for module in modules:
        if room_of(module) in TORCH_FREE:
            loaded = reach(graph, module, loaded_only=True)
            heavy = {"torch", "transformers", "safetensors.torch"} & {*loaded, *(t.split(".")[0] for t in loaded)}
            yield from (f"{module} loads {t}" for t in sorted(heavy)[:1])
        if room_of(module) == "serve":
            yield from (f"{module} reaches {t}" for t in sorted(reach(graph, module, loaded_only=False)) if room_of(t) in NEVER_FROM_SERVE)


def setting_faults(modules: Modules) -> Iterator[str]:
    """argv and the environment read below L5; setting a variable for a child of one's own is no reading."""
    for module, tree in modules.items():
        if LEVEL.get(room_of(module), 0) == LEVEL["cli"] or room_of(module) == "population":
            continue
        written = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Subscript) and isinstance(n.ctx, ast.Store)}
        read = {ast.unparse(n) for n in ast.walk(tree) if isinstance(n, ast.Attribute) and id(n) not in written}
        yield from (f"{module} reads {name}" for name in sorted(read & {"os.environ", "os.getenv", "sys.argv"}))


def shape_faults(modules: Modules) -> Iterator[str]:
    for module, tree in modules.items():
        public = not any(part.startswith("_") for part in module.split("."))
        if public and not ast.get_docstring(tree):
            yield f"{module} has no docstring"
        if GRAVEYARDS & set(module.split(".")):
            yield f"{module}: name the thing, not the drawer"
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler) and node.type is None:
                yield f"{module}:{node.lineno}: bare except"
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and num_lines(node) > 40:
                yield f"{module}.{node.name} has {num_lines(node)} lines"


def num_lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


@pytest.fixture(scope="module")
def modules() -> Modules:
    return read_modules(ROOT / "feilun")


@pytest.mark.parametrize("rule", [layer_faults, reach_faults, setting_faults, shape_faults])
def test_the_house_keeps(rule, modules):
    assert list(rule(modules)) == []


def test_functions_are_short(modules):
    lengths = [num_lines(n) for tree in modules.values() for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert statistics.median(lengths) < 12


def test_files_are_short():
    paths = [path for folder in ("feilun", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    assert [path.name for path in paths if len(path.read_text(encoding="utf-8").splitlines()) > 500] == []


def test_torch_free_rooms_load_no_torch(modules):
    names = [name for name in modules if room_of(name) in TORCH_FREE and not name.endswith("__main__")]
    code = f"import importlib, sys\nfor name in {names!r}:\n    importlib.import_module(name)\n    assert 'torch' not in sys.modules, name"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_importing_the_package_and_the_command_line_opens_only_modules():
    code = """if True:
        import sys
        opened = []
        sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
        import feilun, feilun.cli
        assert feilun.__version__
        print([path for path in opened if not path.endswith((".py", ".pyc", ".so"))], "torch" in sys.modules)
    """
    done = subprocess.run([sys.executable, "-B", "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[] False"


FAKE = {
    "__init__.py": '"""Root."""',
    "types.py": '"""Nouns."""\nimport feilun.config',
    "config.py": "import os\nhome = os.environ['HOME']\nos.environ['A'] = 'b'",
    "utils.py": '"""A drawer."""',
    "store/__init__.py": '"""Rows."""\ndef f():\n    from feilun.corpus import x',
    "corpus/__init__.py": '"""Text."""\nfrom feilun.corpus import part',
    "corpus/part.py": '"""Part."""\ntry:\n    from feilun import model\nexcept:\n    pass',
    "model/__init__.py": '"""Tensors."""\nimport torch',
    "exam.py": '"""Exam."""\nimport importlib\nNAMES = ["feilun.turn:run", "feilun.nowhere"]\nimportlib.import_module(NAMES[0])',
    "turn.py": '"""Wheel."""\nfrom .config import x',
    "serve.py": '"""Product."""\ndef f():\n    from feilun.exam import x',
    "population.py": '"""People."""\nimport httpx, json, numpy, feilun.types, feilun.config',
    "cli/__init__.py": '"""Verbs."""\nimport feilun.stats\nfrom feilun.cli import wheel',
    "cli/wheel.py": '"""Verb turn."""\nimport feilun.turn\ndef f():\n    import feilun.serve',
    "stats.py": '"""Long."""\ndef f():\n' + "    pass\n" * 60,
}  # fmt: skip


def test_the_checker_finds_what_is_wrong(tmp_path):
    for name, text in FAKE.items():
        (tmp_path / "feilun" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "feilun" / name).write_text(text)
    fake = read_modules(tmp_path / "feilun")
    assert set(layer_faults(fake)) == {
        "feilun.types may not import feilun.config",
        "feilun.utils: room 'utils' stands in no layer",
        "feilun.store may not import feilun.corpus",
        "feilun.corpus.part may not import feilun.model",
        "feilun.exam may not import feilun.turn",
        "feilun.turn imports by dots: .config",
        "feilun.turn imports by dots: .config.x",
        "feilun.population may not import numpy",
        "feilun.population may not import feilun.config",
        "feilun.cli.wheel may not import feilun.turn",
    }
    assert set(reach_faults(fake)) == {"feilun.corpus loads torch", "feilun.corpus.part loads torch", "feilun.serve reaches feilun.turn"}
    assert list(setting_faults(fake)) == ["feilun.config reads os.environ"]
    assert sorted(shape_faults(fake)) == [
        "feilun.config has no docstring",
        "feilun.corpus.part:4: bare except",
        "feilun.stats.f has 61 lines",
        "feilun.utils: name the thing, not the drawer",
    ]
