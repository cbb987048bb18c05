#!/usr/bin/env python3
"""`sluice mesh` between 8 hosts: network namespaces at one bridge, of which one is killed, or has
its link cut for a while or for good. Skipped where namespaces may not be made."""

import os
import subprocess
import time
import unittest

import harness
from mesh_test import MeshTest

HOSTS = 8
PREFIX = "10.211.77."


def ip(*arguments):
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True)


class Network(MeshTest):
    """Host k is namespace `name-k` at port `port-k` of the bridge, in a namespace of its own."""

    def setUp(self):
        super().setUp()
        self.name = f"sluice{os.getpid()}"
        self.switch = self.name + "-switch"
        try:
            self.build()
        except (OSError, subprocess.CalledProcessError) as error:
            self.skipTest("no network namespaces here: " +
                          (getattr(error, "stderr", "") or str(error)).strip())
        self.write_hosts(*(f"{PREFIX}{k + 1}" for k in range(HOSTS)))

    def build(self):
        self.add_namespace(self.switch)
        ip("-n", self.switch, "link", "add", "bridge", "type", "bridge")
        ip("-n", self.switch, "link", "set", "bridge", "up")
        for k in range(HOSTS):
            host = f"{self.name}-{k}"
            self.add_namespace(host)
            ip("-n", host, "link", "add", "eth0", "type", "veth", "peer", "name", f"port-{k}",
               "netns", self.switch)
            ip("-n", self.switch, "link", "set", f"port-{k}", "master", "bridge", "up")
            ip("-n", host, "address", "add", f"{PREFIX}{k + 1}/24", "dev", "eth0")
            ip("-n", host, "link", "set", "eth0", "up")
            ip("-n", host, "link", "set", "lo", "up")

    def add_namespace(self, name):
        ip("netns", "add", name)
        self.addCleanup(subprocess.run, ["ip", "netns", "delete", name], check=False)

    def start_mesh(self, *options):
        """The processes by rank."""
        return [self.start("ip", "netns", "exec", f"{self.name}-{k}",
                           *self.command("--rank", str(k), *options,
                                         *(["--json", "m.json"] if k == 0 else [])))
                for k in range(HOSTS)]

    def set_link(self, host, state):
        ip("-n", self.switch, "link", "set", f"port-{host}", state)

    def test_one_host_is_killed(self):
        ranks = self.start_mesh()
        self.wait_for(ranks[0], "round 2 of 7")
        ranks[5].kill()
        out, _ = self.finish(ranks[0], 1)
        self.assertRegex(out, rf"host 5 \({PREFIX}6\) was lost in round \d: ")
        self.assertEqual(self.check_measured(self.read_json("m.json"), lost=[5]), 7 * 6)
        for rank in (1, 2, 3, 4, 6, 7):
            self.finish(ranks[rank], 0)

    def test_a_link_that_is_cut_for_3_seconds_recovers(self):
        ranks = self.start_mesh("--set", "peer_timeout_ms=60000")
        self.wait_for(ranks[0], "round 2 of 7")
        self.set_link(3, "down")
        time.sleep(3)  # What is tested.
        self.set_link(3, "up")
        out, _ = self.finish(ranks[0], 0)
        self.assertIn("every pair was measured", out)
        self.assertEqual(self.check_measured(self.read_json("m.json")), HOSTS * (HOSTS - 1))
        for rank in range(1, HOSTS):
            self.finish(ranks[rank], 0)

    def test_a_link_that_stays_cut_is_reported(self):
        ranks = self.start_mesh()
        self.wait_for(ranks[0], "round 2 of 7")
        self.set_link(3, "down")
        out, _ = self.finish(ranks[0], 1)
        self.assertRegex(out, rf"host 3 \({PREFIX}4\) was lost in round \d: .*silent for")
        self.assertEqual(self.check_measured(self.read_json("m.json"), lost=[3]), 7 * 6)
        self.assertIn("rank 0: ", self.finish(ranks[3], 1)[1])
        for rank in (1, 2, 4, 5, 6, 7):
            self.finish(ranks[rank], 0)


if __name__ == "__main__":
    del MeshTest  # Has no tests of its own.
    harness.main()
