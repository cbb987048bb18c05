#!/usr/bin/env python3
"""Shows that every rule of architecture.py fires on a tree that breaks it, and only then."""

import pathlib
import tempfile
import unittest

import architecture

CLEAN = {
    "include/sluice/status.h": "#pragma once\n#include <string>\n",
    "include/sluice/engine.h": '#pragma once\n#include "sluice/status.h"\n',
    "src/base/fd.h": '#pragma once\n#include "sluice/status.h"\n',
    "src/base/fd.cc": '#include "src/base/fd.h"\n\n#include <fmt/format.h>\n',
    "src/base/fd_test.cc": '#include <gtest/gtest.h>\n#include "src/base/fd.h"\nstd::thread t;\n',
    "src/net/tcp/testing.h": "#pragma once\n#include <gtest/gtest.h>\nstd::mutex m;\n",
    "src/base/status.cc": '#include "sluice/status.h"\n',
    "src/base/settings.cc": 'char* a = getenv("SLUICE_NET");\n',
    "src/base/log.cc": "std::mutex m;\nstd::lock_guard g(m);\n",
    "src/gpu/gpu.h": '#pragma once\n#include "src/base/fd.h"\n',
    "src/net/net.h": '#pragma once\n#include "sluice/engine.h"\n#include "src/base/fd.h"\n',
    "src/net/control.h": "#pragma once\n",
    "src/net/tcp/tcp_net.h": '#pragma once\n#include "src/net/net.h"\n',
    "src/engine/peer.h": '#pragma once\n#include "src/net/net.h"\n#include "src/gpu/gpu.h"\n',
    "src/engine/peer_test.cc": '#include "src/engine/peer.h"\n#include "tests/sim_net/sim.h"\n',
    "src/library/create.cc": '#include "src/net/tcp/tcp_net.h"\n#include "src/engine/peer.h"\n',
    "src/library/progress_thread.cc": "std::thread t; std::mutex m; std::condition_variable c;\n",
    "tests/sim_net/sim.h": '#pragma once\n#include "src/net/net.h"\n',
    "tools/main.cc": "#include <CLI/CLI.hpp>\n// getenv, std::mutex: only talked about.\n"
                     "int n = std::thread::hardware_concurrency();\n",
    "README.md": "See [docs](docs/wire.md#frames), `src/base/{fd,log}.cc`, src/net/tcp/, tools/*.cc"
                 " and src/engine/peer.h:Peer. Run `./tests/made_by_the_build` and"
                 " `build/tests/fd_test`; https://example.org/docs/nothing.md\n",
    "docs/wire.md": "Back to [the start](../README.md).\n",
}


class ArchitectureTest(unittest.TestCase):
    def violations(self, changes=None):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, text in {**CLEAN, **(changes or {})}.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text, encoding="utf-8")
            return list(architecture.violations(root))

    def assert_one(self, name, text, expected):
        """Breaking one rule in one file gives one line, which names both."""
        found = self.violations({name: text})
        self.assertEqual(len(found), 1, found)
        self.assertTrue(found[0].startswith(name), found)
        self.assertIn(expected, found[0])

    def test_a_clean_tree_has_no_violation(self):
        self.assertEqual(self.violations(), [])

    def test_includes_point_downwards_only(self):
        for name, include in [
            ("include/sluice/extra.h", '"src/base/fd.h"'),
            ("src/base/extra.h", '"sluice/engine.h"'),
            ("src/base/extra.h", '"src/net/net.h"'),
            ("src/gpu/extra.h", '"src/net/net.h"'),
            ("src/net/extra.h", '"src/gpu/gpu.h"'),
            ("src/net/extra.h", '"src/net/tcp/tcp_net.h"'),
            ("src/net/tcp/extra.h", '"src/engine/peer.h"'),
            ("src/net/tcp/extra.h", '"src/net/plugin/plugin_net.h"'),
            ("src/engine/extra.h", '"src/net/tcp/tcp_net.h"'),
            ("src/engine/extra.h", '"src/gpu/host_gpu.h"'),
            ("src/engine/extra.h", '"src/library/create.h"'),
            ("src/engine/extra.h", '"tests/sim_net/sim.h"'),
            ("src/library/extra.h", '"tools/main.h"'),
            ("examples/extra.h", '"src/base/fd.h"'),
            ("src/base/extra.h", '"fd.h"'),
        ]:
            with self.subTest(name=name, include=include):
                self.assert_one(name, f"#pragma once\n#include {include}\n", "may not include")

    def test_libraries_stay_where_they_belong(self):
        for name, include in [
            ("include/sluice/extra.h", "<fmt/format.h>"),
            ("src/gpu/extra.h", "<sodium.h>"),
            ("src/engine/extra.h", "<nlohmann/json.hpp>"),
            ("src/library/extra.h", "<CLI/CLI.hpp>"),
            ("src/base/extra.h", "<gtest/gtest.h>"),
        ]:
            with self.subTest(name=name, include=include):
                self.assert_one(name, f"#pragma once\n#include {include}\n", "may")

    def test_the_own_header_comes_first(self):
        late = '#include <fmt/format.h>\n#include "src/base/fd.h"\n'
        self.assert_one("src/base/fd.cc", late, "first include")
        self.assert_one("src/base/fd.cc", "int no_include_at_all;\n", "first include")
        self.assert_one("src/base/status.cc", "#include <string>\n", "sluice/status.h")

    def test_threads_locks_and_the_environment_have_their_files(self):
        for name, text in [
            ("src/engine/extra.cc", 'auto a = std::getenv("HOME");'),
            ("tools/extra.cc", 'auto a = secure_getenv("HOME");'),
            ("src/engine/extra.cc", "std::mutex m;"),
            ("src/engine/extra.cc", "std::shared_mutex m;"),
            ("src/net/tcp/extra.cc", "std::call_once(flag, f);"),
            ("src/net/tcp/extra.cc", "std::thread t(f);"),
            ("src/engine/extra.cc", "auto f = std::async(g);"),
            ("src/engine/extra.cc", "pthread_create(&t, nullptr, f, nullptr);"),
            ("src/base/log.cc", "std::condition_variable c;"),
        ]:
            with self.subTest(name=name, text=text):
                self.assert_one(name, text + "\n", "belong in")

    def test_files_and_lines_have_a_longest(self):
        self.assertEqual(self.violations({"src/base/extra.cc": "int x;\n" * 500}), [])
        self.assert_one("src/base/extra.cc", "int x;\n" * 501, "501 lines")
        self.assert_one("tests/extra.py", "x = 1\n" * 501, "501 lines")
        self.assertEqual(self.violations({"src/base/extra.cc": "/" * 100 + "\n"}), [])
        self.assert_one("src/base/extra.cc", "/" * 101 + "\n", "101 characters")

    def test_a_header_is_included_once(self):
        self.assert_one("src/base/extra.h", "int x;\n", "#pragma once")

    def test_documents_name_what_exists(self):
        for text, expected in [
            ("in `src/base/gone.cc`.", "src/base/gone.cc"),
            ("in src/base/{fd,gone}.cc", "src/base/gone.cc"),
            ("all of src/base/*.gone", "src/base/*.gone"),
            ("the folder src/orchestrator/", "src/orchestrator/"),
            ("src/engine/gone.cc:Gone::progress", "src/engine/gone.cc"),
            ("[this](gone.md)", "gone.md"),
            ("[this](../gone.md#part)", "../gone.md"),
        ]:
            with self.subTest(text=text):
                self.assert_one("docs/extra.md", text + "\n", expected)


if __name__ == "__main__":
    unittest.main()
