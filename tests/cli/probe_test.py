"""`sluice probe` over the stand-ins: it finds what is wrong with one and nothing with the other."""

import json
import os

import harness

PLUGINS = ""  # The folder of the stand-ins.

# What GPUDirect-TCPX does by itself, which the stand-in reproduces.
DEFECTS = {
    "chunk-size-unset": "no send ever moves",
    "size-written": "does not write the size",
    "null-request": "InternalError (3) and not a NULL request",
    "outstanding-32": "post 17 says InternalError (3)",
    "page-leak": "pages of its pool are lost",
    "register-unaligned": "InternalError (3)",
    "very-large": "exit(1)",
    "receiver-dies": "because its receiver died",
    "sender-dies-while-receiving": "silence",
    "sender-closes": "SystemError (2)",
    "sigpipe": "SIGPIPE",
    "second-accept": "SIGABRT",
    "garbage-handle": "SIGABRT",
    "stranger": "",
    "init-twice": "InternalError (3)",
    "longer": "behind a receive",
    "out-of-order": "InternalError (3)",
}


class ProbeTest(harness.CliTest):
    limit_s = 500  # Of each run; many cases wait for silence.

    def probe(self, plugin, *arguments, **changes):
        settings = {"SLUICE_STANDIN_STEP_MS": "1", "SLUICE_STANDIN_ACCEPT_WAIT_MS": "1", **changes}
        report = self.path("report.json")
        result = self.sluice("probe", os.path.join(PLUGINS, plugin), "--json", report, "--comms",
                             "60", *arguments, **settings)
        if not os.path.exists(report):
            return result, None
        with open(report, encoding="utf-8") as file:
            return result, json.load(file)

    def test_finds_the_defects_of_tcpx(self):
        # Pages enough for every message but the lost ones.
        result, report = self.probe("libnccl-net-standin.so", SLUICE_STANDIN_POOL_PAGES="8192")
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertEqual(report["plugin"]["tables"], [7])
        for case in report["cases"]:
            with self.subTest(case=case["case"]):
                if case["case"] in DEFECTS:
                    self.assertEqual(case["verdict"], "deviation", case)
                    self.assertIn(DEFECTS[case["case"]], case["seen"])
                    self.assertTrue(case["consequence"])
        names = [case["case"] for case in report["cases"]]
        self.assertEqual([name for name in DEFECTS if name not in names], [])

    def test_finds_nothing_in_a_plain_plugin(self):
        for version in ("v8", "v12"):
            result, report = self.probe(f"libnccl-net-standin-{version}.so")
            wrong = [case for case in report["cases"] if case["verdict"] != "pass"]
            self.assertEqual(wrong, [])
            self.assertEqual(result.returncode, 0, result.stdout)

    def test_a_plugin_that_ends_the_process_costs_one_row(self):
        result, report = self.probe("libnccl-net-standin-v8.so", "--case", "sizes", "--case",
                                    "shorter", SLUICE_STANDIN_FAULT="exit:2")
        self.assertEqual(result.returncode, 1)
        self.assertEqual([case["verdict"] for case in report["cases"]], ["fail", "fail"])
        self.assertIn("exit(1) in: a message of", report["cases"][0]["seen"])

    def test_a_plugin_that_hangs_costs_one_row(self):
        result, report = self.probe("libnccl-net-standin-v8.so", "--case", "sizes", "--deadline",
                                    "2", SLUICE_STANDIN_FAULT="stall:1")
        self.assertEqual(result.returncode, 1)
        self.assertIn("did not come back within 2 s in: a message", report["cases"][0]["seen"])

    def test_many_engines_over_a_plugin_whose_device_is_no_nic(self):
        plugin = "plugin:" + os.path.join(PLUGINS, "libnccl-net-standin-v8.so")
        for command in (["orchestrate"], ["perf", "multi"]):
            with self.subTest(command=command):
                measure = [*command, "local", "--engines", "2", "--net", plugin, "--size", "64K",
                           "--iterations", "3", "--phase-ms", "10", "--channels", "1"]
                result = self.sluice(*measure, "--log-level", "warning")
                self.assert_works(result)
                if os.path.exists("/sys/class/net/eth0/device"):
                    self.assertIn("has no device eth0, the NIC near this engine", result.stderr)
                wrong = self.sluice(*measure, "--device", "eth9")
                self.assertIn('has no "eth9", it has standin-host0', wrong.stderr)

    def test_what_cannot_be_tried(self):
        result, report = self.probe("no-such-plugin.so")
        self.assertEqual(result.returncode, 2)
        self.assertIn("no-such-plugin.so", result.stderr)
        self.assertIsNone(report)
        result = self.sluice("probe", os.path.join(PLUGINS, "libnccl-net-standin-v8.so"), "--json",
                             "no/such")
        self.assert_fails(result, 2, "cannot write no/such")
        result, _ = self.probe("libnccl-net-standin-v8.so", "--case", "nonsense")
        self.assertEqual(result.returncode, 2)
        self.assertIn("there are properties", result.stderr)


if __name__ == "__main__":
    PLUGINS = harness.take_path("--plugins")
    harness.main()
