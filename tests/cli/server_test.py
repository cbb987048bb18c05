#!/usr/bin/env python3
"""Client and server of `sluice perf` as two processes: refusals, deaths, the origin's commands."""

import os
import re
import signal
import socket
import time

import harness
from harness import QUICK, CliTest, free_port, rows_of


class Refused(CliTest):
    def client(self, *arguments, **changes):
        return self.sluice("perf", "client", *arguments, *QUICK, **changes)

    def test_nobody_listens(self):
        port = free_port()
        result = self.client("127.0.0.1", "--port", port)
        self.assert_fails(result, 1, f"server 127.0.0.1:{port}: ", "Connection refused",
                          "is a server running there")
        self.assertLessEqual(result.stderr.count(port), 2, result.stderr)

    def test_unknown_host(self):
        self.assert_fails(self.client("no-such-host.invalid"), 1, "no-such-host.invalid")

    def test_no_such_interface(self):
        self.assert_fails(self.sluice("perf", "server", "--interface", "nosuch0"), 1, "nosuch0")

    def test_port_in_use(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            self.assert_fails(self.sluice("perf", "server", "--port", port, "--interface", "lo"), 1,
                              port, "in use")

    def test_token(self):
        server, port = self.start_server(SLUICE_TOKEN="sesame")
        for wrong in (["--token", "mustard"], []):
            with self.subTest(wrong=wrong):
                self.assert_fails(self.client("127.0.0.1", "--port", port, *wrong), 1,
                                  f"127.0.0.1:{port}", "token")
        self.assert_works(self.client("127.0.0.1", "--port", port, "--token", "sesame"))
        self.assert_works(self.client("127.0.0.1", "--port", port, SLUICE_TOKEN="sesame"))
        _, err = self.stop(server)
        self.assertNotIn("anyone", err)
        self.assertNotIn("sesame", err)

    def test_no_token_is_said(self):
        server, port = self.start_server()
        _, err = self.stop(server)
        self.assertEqual(err, f"no token is set: anyone who reaches port {port} may connect\n")

    def test_not_a_sluice_server(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            result = self.client("127.0.0.1", "--port", str(other.getsockname()[1]),
                                 "--set", "connect_timeout_ms=300",
                                 "--set", "handshake_timeout_ms=300")
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn("300 ms", result.stderr)


class Serving(CliTest):
    def measure(self, port, *options):
        return self.sluice("perf", "client", "127.0.0.1", "--port", port, *QUICK, *options)

    def test_client_after_client(self):
        server, port = self.start_server()
        for options in ([], ["--channels", "4"], ["--both-directions"], ["--progress-thread"]):
            self.assert_works(self.measure(port, *options))
        out, _ = self.stop(server)
        self.assertEqual(out.count(", done\n"), 4, out)
        self.assertEqual(len(out.splitlines()), 4, out)

    def test_once(self):
        server, port = self.start_server("--once")
        self.assert_works(self.measure(port))
        server.communicate(timeout=harness.LIMIT_S)
        self.assertEqual(server.returncode, 0)

    def test_two_clients_take_turns(self):
        server, port = self.start_server()
        first = self.start(harness.SLUICE, "perf", "client", "127.0.0.1", "--port", port,
                           "--size", "64K", "--phase-ms", "1500")
        first.stdout.readline()  # It is being served.
        second = self.measure(port)
        self.assert_works(second)
        self.assertIn("waiting", second.stderr)
        self.assertEqual(first.wait(timeout=harness.LIMIT_S), 0)
        self.stop(server)

    def busy_client(self, port):
        client = self.start(harness.SLUICE, "perf", "client", "127.0.0.1", "--port", port,
                            "--size", "4M", "--iterations", "1000000000")
        self.assertIn("sluice perf", client.stdout.readline())
        time.sleep(0.5)  # So that bytes are moving.
        return client

    def test_client_killed_in_the_middle(self):
        server, port = self.start_server()
        for number in (signal.SIGKILL, signal.SIGINT):
            client = self.busy_client(port)
            client.send_signal(number)
            client.wait(timeout=harness.LIMIT_S)
            self.assert_works(self.measure(port))
        out, _ = self.stop(server)
        lines = out.splitlines()
        self.assertEqual(len(lines), 4, out)
        for line in lines[1::2]:
            self.assertTrue(line.endswith(", done"), out)
        # The others fail, or are done: a slow machine may catch them between two runs.

    def test_server_killed_in_the_middle(self):
        server, port = self.start_server()
        client = self.busy_client(port)
        server.kill()
        _, err = client.communicate(timeout=harness.LIMIT_S)
        self.assertEqual(client.returncode, 1, err)
        self.assertIn(f"server 127.0.0.1:{port}", err)
        self.assertRegex(err, r"died|killed|reset|closed|Broken pipe")

    def report_of(self, process):
        """What it says on SIGUSR1, up to the end of its first peer."""
        process.send_signal(signal.SIGUSR1)
        lines = [process.stderr.readline()]
        while not lines[-1].startswith("    try: "):
            self.assertNotEqual(lines[-1], "")
            lines.append(process.stderr.readline())
        return "".join(lines)

    def test_reports_when_asked(self):
        server, port = self.start_server()
        client = self.busy_client(port)
        channel = re.compile(r"channel 0: window \d+/16.*established, rtt .* bytes to read\n")
        for process in (client, server):
            report = self.report_of(process)
            end = time.monotonic() + harness.LIMIT_S
            while not channel.search(report) and time.monotonic() < end:
                report = self.report_of(process)  # Channels may be a moment away.
            self.assertRegex(report, channel)
            self.assertIn(": 1 peers\n  peer ", report)
            self.assertIn("\n    control: established, rtt ", report)
        client.kill()
        self.stop(server)

    def test_strangers_are_turned_away(self):
        server, port = self.start_server()
        for noise in (b"GET / HTTP/1.0\r\n\r\n", b"\0" * 64, os.urandom(4096), b""):
            with socket.create_connection(("127.0.0.1", int(port))) as stranger:
                stranger.sendall(noise)
        self.assert_works(self.measure(port))
        self.stop(server)


class Origin(CliTest):
    """The two commands of the document that the project started from, from the build folder."""

    def setUp(self):
        super().setUp()
        self.build = os.path.dirname(os.path.dirname(harness.SLUICE))
        self.program = os.path.join(self.build, "tests", "test_tcpx_perf_multi")
        if not os.access(self.program, os.X_OK):
            self.skipTest("built without tests")

    def test_verbatim(self):
        settings = {"UCCL_TCPX_NUM_CHANNELS": "4", "UCCL_TCPX_PERF_SIZE": "1048576",
                    "UCCL_TCPX_PERF_ITERS": "5", "UCCL_TCPX_CHUNK_BYTES": "65536",
                    "SLUICE_PERF_PORT": free_port()}
        server = self.start(self.program, "server", "0", **settings)
        self.assertIn("at most 4 channels", server.stdout.readline())
        client = self.run_command(self.program, "client", "127.0.0.1", "0", **settings)
        self.assert_works(client)
        self.assertIn("chunk 64 KiB", client.stdout)
        self.assertEqual([row.split()[:3] for row in rows_of(client.stdout)], [["1", "MiB", "4"]])
        self.assertIn("gpu 0: no CUDA device here; measuring host memory", client.stderr)
        # As the origin's, the server ends after one client.
        out, err = server.communicate(timeout=harness.LIMIT_S)
        self.assertEqual(server.returncode, 0, err)
        self.assertIn(", done", out)

    def test_usage(self):
        for arguments in ([], ["server"], ["client", "0"], ["sever", "0"], ["server", "0", "0"]):
            result = self.run_command(self.program, *arguments)
            self.assertEqual(result.returncode, 2)
            self.assertIn("usage: test_tcpx_perf_multi server GPU", result.stderr)
        self.assert_fails(self.run_command(self.program, "server", "first"), 2, "GPU first")
        self.assert_fails(self.run_command(self.program, "server", "0",
                                           UCCL_TCPX_NUM_CHANNELS="65"), 2, "legal are 0 to 64")


if __name__ == "__main__":
    harness.main()
