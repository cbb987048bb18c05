#!/usr/bin/env python3
"""`sluice doctor` on the machine that runs the tests, and against a server on it."""

import json

import harness
from harness import CliTest, free_port

VERDICTS = {"ok", "unknown", "warning", "failure"}


class Doctor(CliTest):
    def examine(self, *options, **changes):
        result = self.sluice("doctor", "--json", *options, **changes)
        self.assertIn(result.returncode, (0, 1), result.stderr)
        document = json.loads(result.stdout)
        self.assertEqual(result.returncode, int(document["failures"] > 0))
        found = {one["check"]: one for one in document["findings"]}
        for one in found.values():
            self.assertIn(one["verdict"], VERDICTS)
            self.assertEqual(one["verdict"] in ("warning", "failure"), one["fix"] != "", one)
        return found

    def test_this_host(self):
        found = self.examine()
        for check in ("net.core.rmem_max", "congestion control", "clock", "open files", "net"):
            self.assertIn(check, found)
        text = self.sluice("doctor").stdout
        self.assertRegex(text, r"\d+ checks: \d+ failures, \d+ warnings, \d+ unknown\n\Z")

    def test_a_plugin_that_is_not_there(self):
        result = self.sluice("doctor", "--net", "plugin:/nonexistent.so", "--json", "out.json")
        self.assertEqual(result.returncode, 1)
        self.assertIn("FAILURE  plugin", result.stdout)
        self.assertGreaterEqual(self.read_json("out.json")["failures"], 1)

    def test_a_peer(self):
        server, port = self.start_server(SLUICE_TOKEN="sesame")
        found = self.examine("--peer", "127.0.0.1", "--port", port, SLUICE_TOKEN="sesame")
        self.assertEqual(found["engine to 127.0.0.1"]["verdict"], "ok")
        self.assertIn("GB/s", found["engine to 127.0.0.1"]["seen"])
        self.assertIn("loss", found)
        wrong = self.examine("--peer", "127.0.0.1", "--port", port, SLUICE_TOKEN="mustard")
        self.assertEqual(wrong["engine to 127.0.0.1"]["verdict"], "failure")
        self.assertIn("token", wrong["engine to 127.0.0.1"]["seen"])
        self.stop(server)

    def test_a_peer_that_does_not_listen(self):
        found = self.examine("--peer", "127.0.0.1", "--port", free_port())
        paths = [one for check, one in found.items() if check.endswith("to 127.0.0.1")]
        self.assertGreaterEqual(len(paths), 2)
        self.assertEqual({one["verdict"] for one in paths}, {"failure"})


if __name__ == "__main__":
    harness.main()
