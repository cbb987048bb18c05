#!/usr/bin/env python3
"""Checks what the compiler cannot: which folder may include which, where threads, locks and the
environment may be touched, the form of files, and that the documents name files that exist.

usage: architecture.py ROOT     prints one line per violation; exit status 1 if there is any
"""

import itertools
import pathlib
import re
import sys

LONGEST_FILE = 500  # lines
LONGEST_LINE = 100  # characters

SOURCE_FOLDERS = ("include", "src", "tools", "plugins", "tests", "bench", "examples")
PRODUCT_FOLDERS = ("include", "src", "tools", "plugins")  # What users run: tests are freer.

# What the files of a folder may include of the project: the longest folder that matches counts.
# A name that ends in a slash allows everything below it.
EVERYWHERE = ("sluice/status.h", "sluice/options.h")
NET = ("src/net/net.h", "src/net/control.h")
MAY_INCLUDE = {
    "include/sluice": ("sluice/",),
    "src/base": EVERYWHERE + ("src/base/",),
    "src/observe": EVERYWHERE + ("src/observe/", "src/base/"),
    "src/gpu": EVERYWHERE + ("src/gpu/", "src/base/"),
    "src/net": EVERYWHERE + ("sluice/engine.h", "src/base/") + NET,
    "src/net/tcp": EVERYWHERE + ("sluice/engine.h", "src/base/", "src/net/tcp/") + NET,
    "src/topology": EVERYWHERE + ("src/topology/", "src/base/"),
    "src/net/plugin": EVERYWHERE + ("sluice/engine.h", "src/base/", "src/net/plugin/") + NET,
    "src/net/striped": EVERYWHERE + ("src/base/", "src/net/striped/", "src/net/tcp/") + NET,
    "src/engine": ("sluice/", "src/engine/", "src/base/", "src/observe/", "src/gpu/gpu.h") + NET,
    "src/library": ("sluice/", "src/"),
    "src/orchestrator": ("sluice/", "src/orchestrator/", "src/topology/", "src/base/"),
    "tools": ("sluice/", "src/", "tools/"),
    "plugins": ("sluice/", "src/", "plugins/"),
    "examples": ("sluice/",),
    "tests": ("sluice/", "src/", "tools/", "plugins/", "tests/", "bench/"),
    "bench": ("sluice/", "src/", "tools/", "bench/"),
}
# Tests stand beside their module and may use doubles and implementations.
TESTS_MAY_INCLUDE = ("sluice/", "src/", "tools/", "plugins/", "tests/")

# Libraries that only some folders may see.
LIBRARIES = {
    "fmt/": ("src", "tools", "plugins", "tests", "bench"),
    "sodium": ("src/net", "src/engine", "src/library", "tests"),
    "isa-l": ("src/base",),
    "CLI/": ("tools", "tests", "bench"),
    "nlohmann/": ("tools", "tests", "bench"),
    "gtest/": ("src", "tools", "plugins", "tests"),
    "gmock/": ("src", "tools", "plugins", "tests"),
    "benchmark/": ("bench",),
}

# The files that may name an identifier: everything else has one thread, no lock, no environment.
ONLY_IN = [
    # plugin_environment: what NCCL and its plugins are told by is not ours to name.
    # plugins/nccl/environment: NCCL's own variables, which are no settings of ours.
    (re.compile(r"\b(?:secure_)?getenv\b"), "the environment",
     # tools/mesh/hosts: the variables by which launchers tell a process its rank.
     ("src/base/settings.cc", "src/net/plugin/plugin_environment.cc",
      "plugins/nccl/environment.cc", "tools/mesh/hosts.cc")),
    (re.compile(r"\bstd::(?:\w*mutex|lock_guard|unique_lock|scoped_lock|call_once|once_flag)\b"
                r"|\bpthread_(?:mutex|rwlock|spin)_\w+"), "locks",
     # plugin_library: a plugin is initialised once in a process, whichever engines use it.
     # plugin_log: plugins log from threads of their own.
     # A striped channel's helpers share its queue; our plugin is called from several threads,
     # and its comms of one GPU share that.
     ("src/base/log.cc", "src/library/progress_thread.cc", "src/net/plugin/plugin_library.cc",
      "src/net/plugin/plugin_log.cc", "src/net/striped/striped_channel.h",
      "src/net/striped/striped_channel.cc", "plugins/nccl/plugin.h", "plugins/nccl/plugin.cc",
      "plugins/nccl/gpu_pool.h", "plugins/nccl/gpu_pool.cc")),
    (re.compile(r"\bstd::condition_variable\w*\b|\bpthread_cond_\w+"), "condition variables",
     ("src/library/progress_thread.cc", "src/net/striped/striped_channel.h")),
    (re.compile(r"\bstd::(?:jthread|async|thread)\b(?!::hardware_concurrency)|\bpthread_create\b"),
     "threads", ("src/library/progress_thread.cc", "src/net/tcp/helper_thread.h",
                 "src/net/tcp/helper_thread.cc", "src/net/tcp/chunk_pump.h",
                 "src/net/tcp/chunk_pump.cc", "src/net/striped/striped_channel.h",
                 "src/net/striped/striped_channel.cc",
                 # Each engine of an orchestrator is measured by code that waits for it.
                 "tools/perf/crew.h", "tools/perf/crew.cc",
                 # A case that registers beside sends, as NCCL's two proxy threads do.
                 "tools/probe/message_cases.cc")),
]

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
COMMENT = re.compile(r"//[^\n]*")
DOCUMENTED_PATH = re.compile(
    r"(?<![\w./<-])(?:include|src|tools|tests|bench|docs|examples|scripts|cmake|plugins)"
    r"/[\w./{},*-]*")
DOCUMENTED_LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)\s]*)?\)")


def is_test(path):
    """A test, or what the tests of a folder share."""
    return path.stem.endswith(("_test", "_fixture")) or path.stem == "testing"


def below(path, folder):
    return path == folder or path.startswith(folder + "/")


def allowed(name, names):
    return any(name == other or (other.endswith("/") and name.startswith(other))
               for other in names)


def check_includes(path, text):
    """Includes point downwards only, and third-party headers stay where they belong."""
    folder = path.parent.as_posix()
    rules = [key for key in MAY_INCLUDE if below(folder, key)]
    may = MAY_INCLUDE[max(rules, key=len)] if rules else ()
    if is_test(path) and path.parts[0] == "src":
        may = TESTS_MAY_INCLUDE
    for quote, name in INCLUDE.findall(text):
        library = next((key for key in LIBRARIES if name.startswith(key)), None)
        if library is not None:
            if not any(below(folder, other) for other in LIBRARIES[library]):
                yield f"{path}: {folder} may not include <{name}>"
            elif path.parts[0] == "src" and library in ("gtest/", "gmock/") and not is_test(path):
                yield f"{path}: only tests may include <{name}>"
        elif quote == '"' and not allowed(name, may):
            yield f'{path}: {folder} may not include "{name}"'


def check_own_header_first(root, path, text):
    """A .cc starts with its own header, which shows that the header stands on its own."""
    name = path.stem + ".h"
    own = None
    if (root / path.parent / name).exists():
        own = (path.parent / name).as_posix()
    elif path.parts[0] == "src" and (root / "include/sluice" / name).exists():
        own = "sluice/" + name
    first = INCLUDE.search(text)
    if path.suffix == ".cc" and own and (first is None or first[2] != own):
        yield f'{path}: its first include is not "{own}"'


def check_identifiers(path, text):
    """Threads, locks and the environment are touched in few, known files."""
    if path.parts[0] not in PRODUCT_FOLDERS or is_test(path):
        return
    code = COMMENT.sub("", text)
    for pattern, what, files in ONLY_IN:
        match = pattern.search(code)
        if match and path.as_posix() not in files:
            yield f"{path}: {match[0]}: {what} belong in {', '.join(files)}"


def check_form(path, text):
    lines = text.splitlines()
    if len(lines) > LONGEST_FILE:
        yield f"{path}: {len(lines)} lines, more than {LONGEST_FILE}"
    for number, line in enumerate(lines, 1):
        if len(line) > LONGEST_LINE:
            yield f"{path}:{number}: {len(line)} characters, more than {LONGEST_LINE}"
    if path.suffix == ".h" and "#pragma once" not in lines:
        yield f"{path}: no #pragma once"


def expand_braces(text):
    """a/{b,c}.h -> a/b.h, a/c.h"""
    parts = re.split(r"\{([^{}]*)\}", text)
    choices = [part.split(",") if i % 2 else [part] for i, part in enumerate(parts)]
    return ["".join(choice) for choice in itertools.product(*choices)]


def check_document(root, path, text):
    """Every path and every relative link in a document leads somewhere."""
    for found in DOCUMENTED_PATH.findall(text):
        for name in expand_braces(found.rstrip(".,-")):
            if not any(root.glob(name.rstrip("/"))):
                yield f"{path}: {name} does not exist"
    for found in DOCUMENTED_LINK.findall(text):
        if not (root / path.parent / found).exists():
            yield f"{path}: the link to {found} leads nowhere"


def files_of(root, folders, suffixes):
    for folder in folders:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in suffixes and path.is_file():
                yield path.relative_to(root), path.read_text(encoding="utf-8")


def violations(root):
    root = pathlib.Path(root)
    for path, text in files_of(root, SOURCE_FOLDERS, {".h", ".cc"}):
        yield from check_includes(path, text)
        yield from check_own_header_first(root, path, text)
        yield from check_identifiers(path, text)
        yield from check_form(path, text)
    for path, text in files_of(root, SOURCE_FOLDERS + ("scripts",), {".py", ".sh", ".cmake"}):
        yield from check_form(path, text)
    documents = [root / "README.md", root / "CONTRIBUTING.md", *sorted(root.glob("docs/*.md"))]
    for document in documents:
        if document.exists():
            text = document.read_text(encoding="utf-8")
            yield from check_document(root, document.relative_to(root), text)


def main():
    if len(sys.argv) != 2 or not (pathlib.Path(sys.argv[1]) / "src").is_dir():
        sys.exit(__doc__)
    found = list(violations(sys.argv[1]))
    for line in found:
        print(line)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
