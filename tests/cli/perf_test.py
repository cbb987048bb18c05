#!/usr/bin/env python3
"""`sluice perf local` and `sweep`: what they print and write."""

import os
import pty
import shutil
import subprocess
import unittest

import harness
from harness import QUICK, CliTest, environment, rows_of

ROW = {"op": str, "size_bytes": int, "channels": int, "net": str, "gbytes_per_s": (int, float),
       "p50_us": (int, float), "p99_us": (int, float), "verified": bool, "memory": str,
       "direction": str, "iterations": int}


class Local(CliTest):
    def test_table_json_and_what_was_verified(self):
        result = self.sluice("perf", "local", "--channels", "3", "--json", "out.json", *QUICK)
        self.assert_works(result)
        lines = result.stdout.splitlines()
        self.assertIn("latency is half of a round trip", lines[1])
        self.assertIn("GB/s", lines[3])
        rows = rows_of(result.stdout)
        self.assertEqual([row.split()[:3] for row in rows], [["8", "B", "3"], ["64", "KiB", "3"]])
        self.assertEqual({len(row) for row in rows}, {len(lines[2])}, "columns align")
        self.assertRegex(lines[-1], r"\Averified: every byte of \d+ messages \(.* GB\) arrived")

        document = self.read_json("out.json")
        self.assertEqual(set(document), {"results", "settings", "machine"})
        self.assertEqual([row["size_bytes"] for row in document["results"]], [8, 65536])
        for row in document["results"]:
            for key, kind in ROW.items():
                self.assertIsInstance(row[key], kind, key)
            self.assertGreater(row["cpu_s_per_gb"], 0)
            self.assertGreater(row["gbytes_per_s"], 0)
            self.assertGreater(row["p99_us"], 0)
            self.assertGreaterEqual(row["p99_us"], row["p50_us"])
            self.assertEqual((row["op"], row["net"], row["channels"], row["verified"]),
                             ("send", "tcp", 3, True))
            self.assertEqual((row["memory"], row["direction"]), ("host", "one"))
        self.assertEqual(document["settings"]["channels"], 3)
        self.assertEqual(document["settings"]["perf_size"], "8,64K")
        for key in ("cpu", "cores", "memory_bytes", "kernel", "congestion_control"):
            self.assertIn(key, document["machine"])

    def test_blocks_of_a_write(self):
        result = self.sluice("perf", "local", "--op", "write", "--blocks", "50", "--block-size",
                             "4KiB", "--layout", "random", "--json", "out.json", *QUICK[2:])
        self.assert_works(result)
        self.assertIn("latency is from asking to the completion", result.stdout)
        (row,) = self.read_json("out.json")["results"]
        self.assertEqual((row["op"], row["blocks"], row["block_bytes"], row["layout"],
                          row["size_bytes"], row["verified"]),
                         ("write", 50, 4096, "random", 204800, True))
        self.assertGreater(row["post_us"], 0)
        for wrong in (["--blocks", "2"], ["--op", "read", "--blocks", "2"],
                      ["--op", "read", "--both-directions"], ["--op", "erase"]):
            self.assertNotEqual(self.sluice("perf", "local", *wrong).returncode, 0, wrong)

    def test_urgent_reads_beside_long_ones(self):
        result = self.sluice("perf", "local", "--op", "read", "--size", "64KiB", "--beside", "8MiB",
                             "--priority", "urgent", "--verify", "all", "--iterations", "200",
                             "--json", "out.json")
        self.assert_works(result)
        self.assertIn("beside them, while latency was measured: reads of 8 MiB", result.stdout)
        (row,) = self.read_json("out.json")["results"]
        self.assertEqual((row["priority"], row["beside_bytes"], row["verified"]),
                         ("urgent", 8 << 20, True))
        self.assertGreater(row["beside_gbytes_per_s"], 0)
        for wrong in (["--beside", "1MiB"], ["--priority", "urgent"],
                      ["--op", "read", "--priority", "high"],
                      ["--op", "read", "--beside", "0"], ["--op", "read", "--beside", "9GiB"]):
            self.assertNotEqual(self.sluice("perf", "local", *wrong).returncode, 0, wrong)

    def test_iterations_are_exact(self):
        self.assert_works(self.sluice("perf", "local", "--size", "100003", "--iterations", "7",
                                      "--warmup", "3", "--verify", "all", "--both-directions",
                                      "--json", "out.json"))
        row = self.read_json("out.json")["results"][0]
        self.assertEqual((row["iterations"], row["latency_iterations"]), (7, 7))
        # Both ways in the bandwidth phase, there and back in the latency phase, and the warm-up.
        self.assertGreaterEqual(row["verified_messages"], 2 * (7 + 7 + 3 + 3))
        self.assertEqual(row["direction"], "both")

    def test_nothing_verified_is_said(self):
        result = self.sluice("perf", "local", "--verify", "none", "--json", "out.json", *QUICK)
        self.assert_works(result)
        self.assertTrue(result.stdout.endswith("verified: nothing\n"))
        self.assertFalse(self.read_json("out.json")["results"][0]["verified"])

    def test_empty_messages(self):
        self.assert_works(self.sluice("perf", "local", "--size", "0,1", "--phase-ms", "20",
                                      "--json", "out.json"))
        rows = self.read_json("out.json")["results"]
        self.assertIsNone(rows[0]["cpu_s_per_gb"])
        self.assertGreater(rows[1]["cpu_s_per_gb"], 0)

    def test_every_way_to_drive_and_to_set(self):
        for options in (["--progress-thread"], ["--set", "max_transfers=8"], ["--window", "1"],
                        ["--chunk", "4K"], ["--set", "small_bytes=0"], ["--depth", "1"],
                        ["--channels", "1"], ["--channels", "8"], ["--log-level", "error"]):
            with self.subTest(options=options):
                self.assert_works(self.sluice("perf", "local", "--size", "8,300001", "--verify",
                                              "all", "--iterations", "20",
                                              "--phase-ms", "20", *options))

    def test_server_that_does_not_start(self):
        result = self.sluice("perf", "local", "--set", "max_transfers=7", *QUICK)
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stdout, "")
        self.assertIn("max_transfers: 7 are too few", result.stderr)
        self.assertIn("the server on loopback did not start", result.stderr)
        result = self.sluice("perf", "local", *QUICK, SLUICE_GPU="abc")
        self.assertIn('gpu: "abc" is not legal, legal are none and', result.stderr)

    def test_gpu_that_is_not_there(self):
        for command in (["local"], ["local", "--server-gpu", "500"], ["server"], ["sweep"],
                        ["client", "127.0.0.1"]):
            gpu = [] if "--server-gpu" in command else ["--gpu", "500"]
            self.assert_fails(self.sluice("perf", *command, *gpu), 2, "gpu 500")

    def test_json_that_cannot_be_written(self):
        engines = ["--engines", "2"]
        for command in (["perf", "local"], ["perf", "client", "127.0.0.1"], ["perf", "sweep"],
                        ["perf", "multi", "local", *engines], ["orchestrate", "local", *engines]):
            with self.subTest(command=command):
                for name, why in (("no/such/folder.json", "No such file"), (".", "directory")):
                    result = self.sluice(*command, "--json", name, *QUICK)
                    self.assert_fails(result, 2, "cannot write " + name, why)
                    self.assertEqual(result.stdout, "", "nothing is measured before")
                self.assert_fails(self.sluice(*command, "--json", "", *QUICK), 2, "--json")
                if command[:2] != ["perf", "local"] and "client" not in command:
                    self.assert_fails(self.sluice(*command, "--plot", "no/such.svg", *QUICK), 2,
                                      "cannot write no/such.svg")
        self.assertEqual(os.listdir(self.folder), [])

    def test_iteration_0_is_logged(self):
        result = self.sluice("perf", "local", "--log-level", "info", *QUICK)
        self.assert_works(result)
        self.assertRegex(result.stderr, "info perf iteration 0 op send phase bandwidth bytes 65536")
        self.assertRegex(result.stderr, "info perf iteration 0 op send phase latency bytes 8 ")


class ProgressBar(CliTest):
    def test_none_in_a_pipe(self):
        result = self.sluice("perf", "local", *QUICK)
        self.assert_works(result)
        self.assertEqual(result.stderr, "")
        self.assertNotIn("\r", result.stdout)

    def test_on_a_terminal(self):
        ours, theirs = pty.openpty()
        try:
            child = subprocess.Popen([harness.SLUICE, "perf", "local", *QUICK], stderr=theirs,
                                     stdout=subprocess.PIPE, env=environment(), cwd=self.folder)
            os.close(theirs)
            drawn = b""
            while True:
                try:
                    piece = os.read(ours, 4096)
                except OSError:  # The terminal has nobody at its other end any more.
                    break
                if not piece:
                    break
                drawn += piece
            child.communicate(timeout=harness.LIMIT_S)
        finally:
            os.close(ours)
        self.assertEqual(child.returncode, 0)
        self.assertIn(b"64 KiB bandwidth", drawn)
        self.assertIn(b"=", drawn)
        self.assertTrue(drawn.endswith(b"\r\x1b[K"), "the line is left clean")


class Sweep(CliTest):
    def test_writes_table_json_and_plot(self):
        result = self.sluice("perf", "sweep", "--channels", "1,2,4", *QUICK)
        if "gnuplot, which is not installed" in result.stderr:
            raise unittest.SkipTest("no gnuplot here")
        self.assert_works(result)
        self.assertEqual(len(rows_of(result.stdout)), 6)
        self.assertEqual(result.stdout.count("GB/s"), 1, "one header")
        self.assertTrue(result.stdout.endswith(
            "results: sluice-sweep.json\nplot: sluice-sweep.svg\n"), result.stdout)
        rows = self.read_json("sluice-sweep.json")["results"]
        self.assertEqual([row["channels"] for row in rows], [1, 1, 2, 2, 4, 4])
        with open(self.path("sluice-sweep.svg"), encoding="utf-8") as file:
            svg = file.read()
        self.assertIn("<svg", svg)
        self.assertTrue(svg.rstrip().endswith("</svg>"))

    def test_without_a_plot(self):
        self.assert_works(self.sluice("perf", "sweep", "--channels", "2", "--plot", "none",
                                      "--json", "rows.json", *QUICK))
        self.assertEqual(os.listdir(self.folder), ["rows.json"])

    def test_missing_gnuplot_is_told_before_anything_is_measured(self):
        result = self.sluice("perf", "sweep", *QUICK, PATH="/nonexistent")
        self.assert_fails(result, 1, "gnuplot", "--plot FILE.gnuplot", "--plot none")
        self.assertEqual(result.stdout, "")

    def test_plot_is_left_to_a_machine_that_has_gnuplot(self):
        result = self.sluice("perf", "sweep", "--channels", "1,2", "--plot", "s.gnuplot", *QUICK,
                             PATH="/nonexistent")
        self.assert_works(result)
        self.assertTrue(result.stdout.endswith("plot: s.gnuplot\n"), result.stdout)
        self.assertEqual(sorted(os.listdir(self.folder)), ["s.gnuplot", "sluice-sweep.json"])
        if shutil.which("gnuplot") is None:
            raise unittest.SkipTest("no gnuplot here")
        subprocess.run(["gnuplot", "s.gnuplot"], cwd=self.folder, check=True, timeout=60)
        with open(self.path("s.svg"), encoding="utf-8") as file:
            self.assertTrue(file.read().rstrip().endswith("</svg>"))

    def test_against_a_server_with_a_limit(self):
        server, port = self.start_server("--channels", "2")
        works = self.sluice("perf", "sweep", "127.0.0.1", "--port", port, "--channels", "1,2",
                            "--plot", "none", *QUICK)
        self.assert_works(works)
        refused = self.sluice("perf", "sweep", "127.0.0.1", "--port", port, "--channels", "4",
                              "--plot", "none", *QUICK)
        self.assert_fails(refused, 1, "2 channels at most, 4 were asked for")
        self.stop(server)


class Recorded(CliTest):
    def recordings(self):
        os.mkdir(self.path("kept"))
        self.assert_works(self.sluice("perf", "local", *QUICK, "--channels", "2",
                                      SLUICE_RECORDER_DIR=self.path("kept"),
                                      SLUICE_RECORDER_EVENTS="500"))
        kept = sorted(os.path.join("kept", name) for name in os.listdir(self.path("kept")))
        self.assertEqual(len(kept), 2, kept)
        return kept

    def test_both_ends_on_one_clock(self):
        kept = self.recordings()
        result = self.sluice("report", *kept, "--trace", "trace.json")
        self.assert_works(result)
        self.assertEqual(result.stdout.count("recorded because: closed"), 2)
        self.assertEqual(result.stdout.count("512 of "), 2)
        self.assertRegex(result.stdout,
                         r"clock: .* control frames one way and \d+ the other: within")
        self.assertRegex(result.stdout, r"from posted there to arrived here: median [\d.]+ [um]?s")
        events = self.read_json("trace.json")["traceEvents"]
        self.assertEqual({event["pid"] for event in events}, {1, 2})
        self.assertEqual(sum(event["ph"] == "b" for event in events),
                         sum(event["ph"] == "e" for event in events))
        self.assertGreater(sum(event["ph"] == "C" for event in events), 0)

    def test_what_is_no_recording(self):
        kept = self.recordings()
        with open(self.path(kept[0]), "rb") as file:
            content = file.read()
        with open(self.path("cut"), "wb") as file:
            file.write(content[:-1])
        self.assert_fails(self.sluice("report", kept[1], "cut"), 1, "cut: not a recording")
        self.assert_fails(self.sluice("report", "none"), 1, "none", "No such file")
        self.assert_fails(self.sluice("report"), 2, "files")
        self.assert_fails(self.sluice("report", kept[0], "--trace", "no/such"), 2, "no/such")


if __name__ == "__main__":
    harness.main()
