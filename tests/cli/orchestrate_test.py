#!/usr/bin/env python3
"""`sluice orchestrate` and `sluice perf multi`: one table from one process and from several."""

import os
import signal
import time
import unittest

import harness
from harness import QUICK, CliTest, free_ports


def engine_rows(table):
    return [line.split() for line in table.splitlines()
            if line.split()[:1] and line.split()[0] in ("host0", "host1", "host2", "all")]


class Local(CliTest):
    def check(self, result, channels):
        self.assert_works(result)
        rows = engine_rows(result.stdout)
        names = ["host0", "host1", "host2", "all"]
        self.assertEqual([row[0] for row in rows], names * 2 * len(channels))
        self.assertEqual([row[3] for row in rows[::8]], [str(count) for count in channels])
        document = self.read_json("out.json")["results"]
        self.assertEqual([row["engine"] for row in document], names * 2 * len(channels))
        for at in range(0, len(document), 4):
            each, total = document[at:at + 3], document[at + 3]
            self.assertEqual({row["size_bytes"] for row in each}, {total["size_bytes"]})
            self.assertEqual(len({row["iterations"] for row in each}), 1, "they agree on a number")
            self.assertEqual(total["iterations"], sum(row["iterations"] for row in each))
            self.assertTrue(all(row["verified"] for row in each) and total["verified"])
            self.assertGreater(total["gbytes_per_s"], 0)
            self.assertLessEqual(total["gbytes_per_s"],
                                 1.001 * sum(row["gbytes_per_s"] for row in each))
            self.assertGreater(total["passes"], 0)
            self.assertGreater(total["engine_cpu_s"], 0)
        self.assertRegex(result.stdout, r"verified: every byte of \d+ messages")

    def test_one_process(self):
        for threads in ("caller", "own", "one"):
            with self.subTest(threads=threads):
                self.check(self.sluice("orchestrate", "local", "--engines", "3", "--threads",
                                       threads, "--channels", "1,2", "--json", "out.json", *QUICK),
                           [1, 2])

    def test_a_process_each(self):
        for options in ([], ["--progress-thread"]):
            with self.subTest(options=options):
                self.check(self.sluice("perf", "multi", "local", "--engines", "3", "--channels",
                                       "1", "--json", "out.json", *options, *QUICK), [1])

    def test_blocks_of_a_read_either_way(self):
        for command in (["orchestrate"], ["perf", "multi"]):
            with self.subTest(command=command):
                result = self.sluice(*command, "local", "--engines", "2", "--channels", "1", "--op",
                                     "read", "--blocks", "20", "--block-size", "4KiB", "--layout",
                                     "strided", "--beside", "1MiB", "--priority", "urgent",
                                     "--json", "out.json", "--iterations", "20", "--phase-ms", "10")
                self.assert_works(result)
                for row in self.read_json("out.json")["results"]:
                    self.assertEqual((row["op"], row["blocks"], row["block_bytes"], row["layout"],
                                      row["priority"], row["beside_bytes"], row["verified"]),
                                     ("read", 20, 4096, "strided", "urgent", 1 << 20, True))
                    self.assertGreater(row["post_us"], 0)

    def test_every_cadence_completes(self):
        for cadence in ("adapt", "spin", "yield", "sleep"):
            with self.subTest(cadence=cadence):
                self.assert_works(self.sluice("orchestrate", "local", "--engines", "2",
                                              "--channels", "1", "--set", "cadence=" + cadence,
                                              "--size", "300001", "--iterations", "5",
                                              "--phase-ms", "10"))

    def test_gpus_that_are_not_here(self):
        for gpus in ("0,500", "all", "zz", "500"):
            with self.subTest(gpus=gpus):
                if gpus == "all" and os.path.exists("/dev/nvidia0"):
                    continue
                result = self.sluice("orchestrate", "local", "--gpus", gpus, *QUICK)
                self.assert_fails(result, 2, "gpus")
                self.assertEqual(result.stdout, "")

    def test_wrong_command_lines(self):
        for arguments, part in [(["--engines", "0"], "--engines"),
                                (["--engines", "65"], "--engines"),
                                (["--channels", "0"], "legal are 1 to 64"),
                                (["--threads", "two"], "--threads"),
                                (["--blocks", "2"], "blocks are for --op write"),
                                (["--engines", "2", "--map", "x"], "--map x"),
                                (["--engines", "2", "--gpus", "0"], "--gpus")]:
            with self.subTest(arguments=arguments):
                self.assert_fails(self.sluice("orchestrate", "local", *arguments), 2, part)

    def test_ports_end_at_65535(self):
        for command in (["orchestrate", "server"], ["perf", "multi", "server"],
                        ["orchestrate", "client", "127.0.0.1"],
                        ["perf", "multi", "client", "127.0.0.1"]):
            with self.subTest(command=command):
                result = self.sluice(*command, "--port", "65534", "--engines", "3")
                self.assert_fails(result, 2, "--port 65534: 3 engines")
                self.assertEqual(result.stdout, "")


class Apart(CliTest):
    def start_orchestrator(self, *options, **changes):
        port = str(free_ports(3))
        server = self.start(harness.SLUICE, "orchestrate", "server", "--listen-host", "127.0.0.1",
                            "--port", port, "--engines", "3", *options, **changes)
        self.assertIn("3 engines", server.stdout.readline())
        return server, port

    def test_either_client_at_one_server(self):
        server, port = self.start_orchestrator(SLUICE_TOKEN="sesame")
        for command in (["orchestrate"], ["perf", "multi"]):
            result = self.sluice(*command, "client", "127.0.0.1", "--port", port, "--engines", "3",
                                 "--token", "sesame", *QUICK)
            self.assert_works(result)
            self.assertEqual(len(engine_rows(result.stdout)), 2 * 4)
        self.assert_fails(self.sluice("orchestrate", "client", "127.0.0.1", "--port", port,
                                      "--engines", "1", "--token", "mustard", *QUICK), 1, "token")
        self.stop(server)

    def test_servers_of_a_process_each(self):
        port = str(free_ports(3))
        server = self.start(harness.SLUICE, "perf", "multi", "server", "--listen-host", "127.0.0.1",
                            "--port", port, "--engines", "3")
        for _ in range(3):
            self.assertIn("sluice perf server", server.stdout.readline())
        self.assert_works(self.sluice("orchestrate", "client", "127.0.0.1", "--port", port,
                                      "--engines", "3", *QUICK))
        self.stop(server)

    def test_a_server_process_that_ends_ends_all(self):
        for number in (signal.SIGTERM, signal.SIGKILL):
            server = self.start(harness.SLUICE, "perf", "multi", "server", "--listen-host",
                                "127.0.0.1", "--port", str(free_ports(2)), "--engines", "2")
            for _ in range(2):
                self.assertIn("sluice perf server", server.stdout.readline())
            with open(f"/proc/{server.pid}/task/{server.pid}/children", encoding="ascii") as file:
                children = file.read().split()
            os.kill(int(children[1]), number)
            _, err = server.communicate(timeout=harness.LIMIT_S)
            self.assertEqual(server.returncode, 1, err)
            self.assertIn("the process of host1 ", err)
            for child in children:
                self.assertFalse(os.path.exists(f"/proc/{child}"), "none is left behind")

    def test_more_engines_than_the_server_has(self):
        server, port = self.start_orchestrator()
        result = self.sluice("orchestrate", "client", "127.0.0.1", "--port", port, "--engines", "4",
                             *QUICK)
        self.assertEqual(result.returncode, 1)
        self.assertIn(f"host3: server 127.0.0.1:{int(port) + 3}", result.stderr)
        self.assertIn("refused", result.stderr)
        self.stop(server)

    def test_server_killed_in_the_middle(self):
        server, port = self.start_orchestrator()
        client = self.start(harness.SLUICE, "orchestrate", "client", "127.0.0.1", "--port", port,
                            "--engines", "3", "--size", "4M", "--iterations", "1000000000")
        client.stdout.readline()
        time.sleep(0.5)  # So that bytes are moving.
        server.kill()
        _, err = client.communicate(timeout=harness.LIMIT_S)
        self.assertEqual(client.returncode, 1, err)
        self.assertRegex(err, r"host[012]: .*127.0.0.1:\d+.*(died|killed|reset|closed|Broken)")

    def test_one_of_several_processes_killed_in_the_middle(self):
        client = self.start(harness.SLUICE, "perf", "multi", "local", "--engines", "2", "--size",
                            "4M", "--iterations", "1000000000")
        client.stdout.readline()
        children = []
        while len(children) < 2:
            with open(f"/proc/{client.pid}/task/{client.pid}/children", encoding="ascii") as file:
                children = file.read().split()
        os.kill(int(children[0]), signal.SIGKILL)
        _, err = client.communicate(timeout=harness.LIMIT_S)
        self.assertEqual(client.returncode, 1, err)
        self.assertIn("the process of host", err)
        for child in children:
            self.assertFalse(os.path.exists(f"/proc/{child}"), "none is left behind")

    def test_interrupted(self):
        for command in (["orchestrate"], ["perf", "multi"]):
            client = self.start(harness.SLUICE, *command, "local", "--engines", "2", "--size", "4M",
                                "--iterations", "1000000000")
            client.stdout.readline()
            client.send_signal(signal.SIGINT)
            _, err = client.communicate(timeout=harness.LIMIT_S)
            self.assertEqual(client.returncode, 130, err)


class Origin(CliTest):
    """The commands of the document that the project started from, from the build folder."""

    def test_verbatim(self):
        build = os.path.dirname(os.path.dirname(harness.SLUICE))
        program = os.path.join(build, "tests", "test_tcpx_perf_orchestrator")
        if not os.access(program, os.X_OK):
            raise unittest.SkipTest("built without tests")
        settings = {"UCCL_TCPX_NUM_CHANNELS": "1", "UCCL_TCPX_PERF_SIZE": "1048576",
                    "UCCL_TCPX_PERF_ITERS": "5", "UCCL_TCPX_CHUNK_BYTES": "65536",
                    "SLUICE_PERF_PORT": str(free_ports(8))}
        server = self.start(program, "server", **settings)
        self.assertIn("at most 1 channels each", server.stdout.readline())
        client = self.run_command(program, "client", "127.0.0.1", **settings,
                                  SLUICE_LOG_LEVEL="info")
        self.assert_works(client)
        rows = [line.split() for line in client.stdout.splitlines() if " MiB " in line]
        self.assertEqual(rows[-1][:4], ["all", "1", "MiB", "1"])
        engines = len(rows) - 1
        self.assertGreaterEqual(engines, 1)
        # Iteration 0 completes for every engine, in both phases and again for each run of them.
        self.assertGreaterEqual(client.stderr.count("iteration 0 op send phase latency"), engines)
        server.communicate(timeout=harness.LIMIT_S)
        self.assertEqual(server.returncode, 0, "it ends after one client")


if __name__ == "__main__":
    harness.main()
