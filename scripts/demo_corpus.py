"""Prose about Python, gathered from the documentation inside the running interpreter's own standard library.

Sources: the language reference that `help()` shows (`pydoc_data.topics`), the docstrings in the library's source files,
and the docstrings of the modules written in C. Nothing is downloaded, and nothing but the standard library is read.
"""

import ast
import inspect
import re
import sys
import sysconfig
import warnings
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from pydoc_data.topics import topics
from types import ModuleType

# Folders whose docstrings are about test cases, foreign code or toys, not about Python.
SKIPPED_FOLDERS = frozenset(
    {"test", "tests", "idle_test", "site-packages", "lib2to3", "turtledemo", "pydoc_data", "__pycache__"}
)
# Modules written in C: no source file to parse, so they are imported. All of them import without side effects.
COMPILED_MODULES = (
    "builtins", "array", "binascii", "cmath", "errno", "faulthandler", "gc", "itertools", "marshal", "math", "sys",
    "time", "unicodedata", "zlib", "_asyncio", "_bisect", "_bz2", "_codecs", "_collections", "_csv", "_datetime",
    "_decimal", "_functools", "_hashlib", "_heapq", "_io", "_json", "_lzma", "_operator", "_pickle", "_queue",
    "_random", "_socket", "_sqlite3", "_sre", "_ssl", "_statistics", "_struct", "_thread", "_tracemalloc", "_weakref",
)  # fmt: skip
# A paragraph is prose when at least this part of its characters are letters or spaces, and it has this many words.
LETTERS_SHARE = 0.86
SHORTEST_PARAGRAPH_WORDS = 5

_CODE_MARKS = re.compile(r">>>|::=|^\s*\.\.\.|^\s*\.\. |[|+]--|\|.*\||\w\(\)\s*->|^\s*[#$%@]|^\s*:\w+", re.M)
_TABLE_GAP = re.compile(r"\S {3,}\S")
_RULE = re.compile(r"^\s*([=*~^+#\"-])\1{2,}\s*$", re.M)
_BULLET = re.compile(r"^(?:[*+-]|\d+[.)])\s+")
_ROLE = re.compile(r":[\w:]+:`~?([^`]+)`")
_QUOTED_CODE = re.compile(r"``?([^`]+)``?|\"([\w.()\[\]*+/%<>=-]+)\"|(?<!\w)\*{1,2}(\w[^*\n]*?)\*{1,2}(?!\w)")
_FOOTNOTE = re.compile(r"\s*\[\d+\]_?")
_TYPOGRAPHY = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "…": "..."})
_FIRST_LINE_IS_SIGNATURE = re.compile(r"^[\w.]+\(.*\)( ->.*)?( --)?\s*$|^(class|async|await) .*[:)]\s*$")


def documents() -> list[str]:
    """One document for each topic of the reference and each module: distinct paragraphs of plain prose, one a line.

    The order is fixed, so that the same interpreter always gives the same text.
    """
    seen: set[str] = set()
    kept = []
    for texts in _sources():
        paragraphs = [paragraph for text in texts for paragraph in _prose(text)]
        distinct = [paragraph for paragraph in dict.fromkeys(paragraphs) if paragraph not in seen]
        seen.update(distinct)
        if distinct:
            kept.append("\n".join(distinct))
    return kept


def _sources() -> Iterator[Iterable[str]]:
    yield from ([topics[name]] for name in sorted(topics))
    library = Path(sysconfig.get_path("stdlib"))
    for path in sorted(library.rglob("*.py")):
        if SKIPPED_FOLDERS.isdisjoint(path.relative_to(library).parts):
            yield _source_docstrings(path)
    for name in COMPILED_MODULES:
        try:
            module = import_module(name)
        except ImportError:  # optional when the interpreter was built
            continue
        yield _compiled_docstrings(module)


def _source_docstrings(path: Path) -> Iterator[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in old modules
            tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):  # templates and files in other encodings
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


def _compiled_docstrings(module: ModuleType) -> Iterator[str]:
    yield inspect.getdoc(module) or ""
    for _, member in sorted(vars(module).items(), key=lambda item: item[0]):
        if inspect.isroutine(member) or inspect.isclass(member):
            yield inspect.getdoc(member) or ""
        if inspect.isclass(member):
            for _, method in sorted(vars(member).items(), key=lambda item: item[0]):
                yield (getattr(method, "__doc__", "") or "") if callable(method) else ""


def _prose(text: str) -> Iterable[str]:
    """The paragraphs of one document that read as sentences, unwrapped and without markup."""
    text = _RULE.sub("\n", text.expandtabs().translate(_TYPOGRAPHY))
    for block in re.split(r"\n\s*\n", text):
        lines = block.strip("\n").splitlines()
        if lines and _FIRST_LINE_IS_SIGNATURE.match(lines[0].strip()):
            lines = lines[1:]
        block = "\n".join(lines)
        if _CODE_MARKS.search(block) or _TABLE_GAP.search(block.strip()):
            continue
        paragraph = _plain(" ".join(line.strip() for line in lines))
        if _is_prose(paragraph):
            yield paragraph


def _plain(paragraph: str) -> str:
    paragraph = _ROLE.sub(r"\1", _BULLET.sub("", paragraph))
    paragraph = _QUOTED_CODE.sub(lambda match: match[1] or match[2] or match[3], paragraph)
    paragraph = _FOOTNOTE.sub("", paragraph).replace("--", "-")
    paragraph = re.sub(r"(?<=[.?!])  (?=\S)", " ", paragraph)
    return paragraph[:1].upper() + paragraph[1:]


def _is_prose(paragraph: str) -> bool:
    if not paragraph.isascii() or len(paragraph.split()) < SHORTEST_PARAGRAPH_WORDS:
        return False
    if not paragraph[0].isalpha() or paragraph[-1] not in ".:!?)":
        return False
    letters = sum(character.isalpha() or character == " " for character in paragraph)
    return letters >= LETTERS_SHARE * len(paragraph)


if __name__ == "__main__":
    sys.stdout.write("\n\n".join(documents()) + "\n")
