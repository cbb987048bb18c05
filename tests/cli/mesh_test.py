#!/usr/bin/env python3
"""`sluice mesh` with all its hosts on loopback: the matrix, launchers, and hosts that are missing,
die or do not belong."""

import unittest
import xml.dom.minidom

import harness
from harness import CliTest, free_port

# What is measured is of no interest here.
BRIEF = {"--hosts": "hosts", "--engines": "1", "--size": "8,256K", "--phase-ms": "10",
         "--channels": "1"}


class MeshTest(CliTest):
    def setUp(self):
        super().setUp()
        self.port = free_port()

    def write_hosts(self, *hosts):
        with open(self.path("hosts"), "w", encoding="utf-8") as file:
            file.write("".join(host + "\n" for host in hosts))

    def command(self, *options):
        """Options are names and values; they replace those that are the rule here."""
        given = {**BRIEF, "--port": self.port, **dict(zip(options[::2], options[1::2]))}
        return [harness.SLUICE, "mesh", *(word for pair in given.items() for word in pair)]

    def start_ranks(self, ranks, *options, **changes):
        return {rank: self.start(*self.command("--rank", str(rank), *options), **changes)
                for rank in ranks}

    def finish(self, child, status):
        out, err = child.communicate(timeout=self.limit_s)
        self.assertEqual(child.returncode, status, out + err)
        return out, err

    def wait_for(self, child, part):
        """Reads its stderr as far as the line with `part`; returns what was read."""
        read = ""
        while part not in read:
            line = child.stderr.readline()
            self.assertTrue(line, "it ended: " + read)
            read += line
        return read

    def check_measured(self, document, lost=()):
        """Every pair of hosts that were there to the end was measured."""
        measured = 0
        for pair in document["pairs"]:
            if pair["from"][0] in lost or pair["to"][0] in lost:
                continue
            self.assertIsNotNone(pair["gbytes_per_s"], pair)
            self.assertGreater(pair["gbytes_per_s"], 0)
            self.assertGreater(pair["p50_us"], 0)
            measured += 1
        return measured


class Loopback(MeshTest):
    def test_every_pair_is_measured_and_shown(self):
        self.write_hosts(*["127.0.0.1"] * 3)
        ranks = self.start_ranks([1, 2], "--engines", "2")
        leader = self.start(*self.command("--rank", "0", "--engines", "2", "--json", "m.json",
                                          "--plot", "m.svg"))
        out, err = self.finish(leader, 0)
        for child in ranks.values():
            self.finish(child, 0)
        self.assertIn("no token is set: anyone who reaches port " + self.port, err)
        self.assertIn("3 of 3 hosts, 6 engines", err)
        lines = out.splitlines()
        self.assertEqual(lines[0].split()[4:], [f"{host}:host{engine}" for host in range(3)
                                                for engine in range(2)])
        self.assertEqual(lines[1].split()[1:3], ["-", "-"], "engines of one host")
        self.assertIn("slowest: ", out)
        self.assertEqual(lines[-1], "every pair was measured")
        document = self.read_json("m.json")
        self.assertEqual(self.check_measured(document), 3 * 2 * 2 * 2)
        self.assertEqual([host["lost"] for host in document["hosts"]], [None] * 3)
        xml.dom.minidom.parse(self.path("m.svg"))

    def test_launchers_say_who_is_who(self):
        self.write_hosts(*["127.0.0.1"] * 2)
        for names in (("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
                      ("SLURM_PROCID", "SLURM_NTASKS"), ("JOB_COMPLETION_INDEX", None)):
            with self.subTest(names=names):
                size = {names[1]: "2"} if names[1] else {}
                other = self.start(*self.command(), SLUICE_TOKEN="s", **{names[0]: "1"}, **size)
                leader = self.start(*self.command(), SLUICE_TOKEN="s", **{names[0]: "0"}, **size)
                self.assertIn("every pair was measured", self.finish(leader, 0)[0])
                self.finish(other, 0)

    def test_the_others_go_on_when_one_is_killed(self):
        self.write_hosts(*["127.0.0.1"] * 4)
        ranks = self.start_ranks([1, 2, 3])
        leader = self.start(*self.command("--rank", "0", "--json", "m.json"))
        self.wait_for(leader, "round 1 of 3")
        ranks[2].kill()
        out, err = self.finish(leader, 1)
        self.assertIn("host 2 (127.0.0.1) is lost: ", err)
        self.assertRegex(out, r"host 2 \(127\.0\.0\.1\) was lost in round \d: ")
        self.assertIn("not every pair could be measured", out)
        document = self.read_json("m.json")
        self.assertEqual(self.check_measured(document, lost=[2]), 3 * 2)
        self.assertTrue(document["hosts"][2]["lost"]["why"])
        self.finish(ranks[1], 0)
        self.finish(ranks[3], 0)

    def test_one_that_does_not_come_is_named(self):
        self.write_hosts(*["127.0.0.1"] * 3)
        ranks = self.start_ranks([2])
        leader = self.start(*self.command("--rank", "0", "--json", "m.json",
                                          "--join-timeout", "6"))
        out, _ = self.finish(leader, 1)
        self.assertIn("host 1 (127.0.0.1) did not come: not within 6 s", out)
        self.assertEqual(self.check_measured(self.read_json("m.json")), 2)
        self.finish(ranks[2], 0)

    def test_who_does_not_belong_is_turned_away(self):
        self.write_hosts(*["127.0.0.1"] * 2)
        leader = self.start(*self.command("--rank", "0", "--token", "right"))
        wrong = self.start(*self.command("--rank", "1", "--token", "wrong"))
        self.assertIn("rank 0 at 127.0.0.1:" + self.port, self.finish(wrong, 1)[1])
        with open(self.path("more"), "w", encoding="utf-8") as file:
            file.write("127.0.0.1\n" * 3)
        more = self.start(*self.command("--rank", "1", "--token", "right", "--hosts", "more"))
        self.assertIn("rank 0 refuses: it has 3 hosts in its file, here are 2",
                      self.finish(more, 1)[1])
        other = self.start(*self.command("--rank", "1", "--token", "right"))
        self.finish(leader, 0)
        self.finish(other, 0)

    def test_without_rank_0_the_others_end(self):
        self.write_hosts(*["127.0.0.1"] * 2)
        other = self.start(*self.command("--rank", "1", "--join-timeout", "1"))
        self.assertIn("rank 0 at 127.0.0.1:" + self.port, self.finish(other, 1)[1])
        ranks = self.start_ranks([1])
        leader = self.start(*self.command("--rank", "0", "--phase-ms", "2000"))
        self.wait_for(leader, "round 1 of")
        leader.kill()
        self.assertIn("rank 0: ", self.finish(ranks[1], 1)[1])

    def test_wrong_command_lines(self):
        self.write_hosts("127.0.0.1", "127.0.0.1")
        for arguments, part, changes in [
                (["--hosts", "none", "--rank", "0"], "cannot read none", {}),
                (["--hosts", "hosts"], "give --rank", {}),
                (["--hosts", "hosts", "--rank", "2"], "--rank: rank 2 of 2 hosts", {}),
                (["--hosts", "hosts"], "3 processes were started for 2 hosts",
                 {"SLURM_PROCID": "0", "SLURM_NTASKS": "3"}),
                (["--rank", "0", "--hosts", "hosts", "--port", "0"], "1 to 65535", {}),
                (["--rank", "0", "--hosts", "hosts", "--port", "99999"], "1 to 65535", {}),
                (["--rank", "0", "--hosts", "hosts", "--json", "no/m.json"],
                 "cannot write no/m.json", {}),
                (["--rank", "0", "--hosts", "hosts", "--plot", "no/m.svg"],
                 "cannot write no/m.svg", {}),
                (["--rank", "0", "--hosts", "hosts", "--size", "8x"], '"8x" is not a number', {}),
                (["--rank", "0"], "--hosts is required", {})]:
            with self.subTest(arguments=arguments):
                self.assert_fails(self.sluice("mesh", *arguments, **changes), 2, part)


if __name__ == "__main__":
    harness.main()
