#!/usr/bin/env python3
"""What `sluice env` prints is taken by a shell, is explained, and is legal for sluice itself."""

import harness
from harness import CliTest


class Env(CliTest):
    def test_a3_high(self):
        text = self.sluice("env", "a3-high").stdout
        lines = text.splitlines()
        exports = [i for i, line in enumerate(lines) if line.startswith("export ")]
        self.assertGreater(len(exports), 10)
        for i in exports:
            self.assertTrue(lines[i - 1].startswith("# "), lines[i])
        shell = self.run_command("bash", "-euc", text + "env")
        self.assertEqual(shell.returncode, 0, shell.stderr)
        self.assertIn("NCCL_DYNAMIC_CHUNK_SIZE=524288\n", shell.stdout)
        self.assertIn("NCCL_GPUDIRECTTCPX_TX_BINDINGS=eth1:8-21,112-125;eth2:8-21,112-125;"
                      "eth3:60-73,164-177;eth4:60-73,164-177\n", shell.stdout)
        ours = dict(line.split("=", 1) for line in shell.stdout.splitlines()
                    if line.startswith("SLUICE_"))
        self.assertEqual(self.sluice("settings", **ours).returncode, 0)

    def test_unknown_machine(self):
        self.assert_fails(self.sluice("env", "a3"), 2, "the nearest is a3-high")


harness.main()
