#!/usr/bin/env python3
"""What sluice-tcpx-emulator does around the command that it runs.

usage: launcher_test.py LAUNCHER
"""

import glob
import json
import os
import signal
import subprocess
import sys
import tempfile
import unittest

LAUNCHER = sys.argv.pop(1)


def launch(*arguments, **environment):
    return subprocess.run([LAUNCHER, *arguments], capture_output=True, text=True, check=False,
                          env={**os.environ, **environment})


class LauncherTest(unittest.TestCase):
    def test_passes_on_the_exit_status(self):
        self.assertEqual(launch("--device", "host", "--", "sh", "-c", "exit 7").returncode, 7)

    def test_a_signal_is_128_and_its_number(self):
        done = launch("--device", "host", "--", "sh", "-c", "kill -KILL $$")
        self.assertEqual(done.returncode, 128 + signal.SIGKILL)

    def test_a_command_that_is_not_there_is_127(self):
        done = launch("--device", "host", "--", "/no/such/command")
        self.assertEqual(done.returncode, 127)
        self.assertIn("/no/such/command", done.stderr)

    def test_wrong_options_are_125_and_name_the_range(self):
        done = launch("--fragment-bytes", "5000", "--", "true")
        self.assertEqual(done.returncode, 125)
        self.assertIn("1 to 4096", done.stderr)

    def test_a_wrong_environment_is_125_too(self):
        done = launch("--", "true", SLUICE_EMULATOR_POOL_PAGES="none")
        self.assertEqual(done.returncode, 125)
        self.assertIn("pool-pages", done.stderr)

    def test_no_gpu_where_one_is_wanted_is_125(self):
        done = launch("--device", "cuda", "--gpu", "63", "--", "true")
        self.assertEqual(done.returncode, 125)

    def test_sets_what_the_plugin_needs_and_leaves_what_the_user_chose(self):
        done = launch("--device", "host", "--pool-pages", "77", "--", "env",
                      NCCL_DYNAMIC_CHUNK_SIZE="131072", LD_PRELOAD="", LD_LIBRARY_PATH="/mine",
                      SLUICE_EMULATOR_SEED="9")
        lines = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
        self.assertEqual(lines["NCCL_GPUDIRECTTCPX_SOCKET_IFNAME"], "lo")
        self.assertEqual(lines["NCCL_DYNAMIC_CHUNK_SIZE"], "131072")
        self.assertEqual(lines["SLUICE_EMULATOR_POOL_PAGES"], "77")
        self.assertEqual(lines["SLUICE_EMULATOR_SEED"], "9")
        self.assertTrue(lines["LD_LIBRARY_PATH"].endswith(":/mine"))
        self.assertEqual(lines["NCCL_GPUDIRECTTCPX_UNIX_CLIENT_PREFIX"],
                         lines["SLUICE_EMULATOR_FOLDER"])

    def test_takes_its_folder_away(self):
        done = launch("--device", "host", "--", "sh", "-c",
                      "ls $SLUICE_EMULATOR_FOLDER; echo $SLUICE_EMULATOR_FOLDER")
        *sockets, folder = done.stdout.split()
        self.assertIn("rx_rule_manager", sockets)
        self.assertEqual(glob.glob(folder), [])

    def test_hands_signals_on_and_then_ends(self):
        with subprocess.Popen(
                [LAUNCHER, "--device", "host", "--", "sh", "-c",
                 "trap 'exit 9' TERM; echo ready; while :; do sleep 0.01; done"],
                stdout=subprocess.PIPE, text=True) as process:
            self.assertEqual(process.stdout.readline(), "ready\n")
            process.terminate()
            self.assertEqual(process.wait(), 9)

    def test_reports_the_pages(self):
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "report")
            self.assertEqual(
                launch("--device", "host", "--pool-pages", "5", "--report", file, "--", "true")
                .returncode, 0)
            with open(file, encoding="utf-8") as report:
                counts = json.load(report)
        self.assertEqual(counts["pages"], 5)
        self.assertEqual(counts["in_use"], 0)


if __name__ == "__main__":
    unittest.main()
