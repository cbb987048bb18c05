"""What the tests of the command line share: running the built `sluice`, and ending what they start.

    python3 tests/cli/perf_test.py --sluice build/bin/sluice
"""

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

SLUICE = ""  # The command under test.
LIMIT_S = 120  # For one command; sanitizers are slow.

# Small and short: these tests look at what is printed, not at how fast it is.
QUICK = ["--size", "8,64K", "--phase-ms", "20"]


def environment(**changes):
    """The environment without settings of whoever runs the tests."""
    result = {name: value for name, value in os.environ.items()
              if not name.startswith(("SLUICE_", "UCCL_"))}
    result.update(changes)
    return result


def free_ports(count):
    """The first of `count` ports in a row that nobody has, nor gets from the system by chance."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        end = max(int(file.read().split()[0]), 12000)
    while True:
        first = random.randrange(10000, end - count)
        probes = [socket.socket() for _ in range(count)]
        try:
            for k in range(count):
                probes[k].bind(("127.0.0.1", first + k))
            return first
        except OSError:
            continue
        finally:
            for probe in probes:
                probe.close()


def free_port():
    return str(free_ports(1))


class CliTest(unittest.TestCase):
    limit_s = LIMIT_S

    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.addCleanup(self._folder.cleanup)
        self.folder = self._folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def run_command(self, *command, **changes):
        return subprocess.run(command, capture_output=True, text=True, timeout=self.limit_s,
                              cwd=self.folder, env=environment(**changes), check=False)

    def sluice(self, *arguments, **changes):
        return self.run_command(SLUICE, *arguments, **changes)

    def start(self, *command, **changes):
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                 cwd=self.folder, env=environment(**changes))
        self.addCleanup(self._end, child)
        return child

    @staticmethod
    def _end(child):
        if child.poll() is None:
            child.kill()
        child.communicate()

    def start_server(self, *options, **changes):
        """A server on a free port of loopback, ready for clients: (process, port)."""
        port = free_port()
        server = self.start(SLUICE, "perf", "server", "--listen-host", "127.0.0.1", "--port", port,
                            *options, **changes)
        self.assertIn("sluice perf server: port " + port, server.stdout.readline())
        return server, port

    def stop(self, server):
        """Ctrl-C; returns what the server still printed: (stdout, stderr)."""
        server.send_signal(signal.SIGINT)
        out, err = server.communicate(timeout=LIMIT_S)
        self.assertEqual(server.returncode, 0, err)
        return out, err

    def assert_fails(self, result, status, *parts):
        """It ended with `status` and one clear sentence with all the parts."""
        self.assertEqual(result.returncode, status, result.stderr)
        self.assertRegex(result.stderr, r"\Asluice: .*\n\Z")
        for part in parts:
            self.assertIn(part, result.stderr)

    def assert_works(self, result):
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def read_json(self, name):
        with open(self.path(name), encoding="utf-8") as file:
            return json.load(file)


def rows_of(table):
    """The lines of a printed table that are results."""
    return [line for line in table.splitlines() if re.match(r" *\d+ [KMG]?i?B ", line)]


def take_path(option):
    """The path behind an option of the test itself."""
    at = sys.argv.index(option)
    path = os.path.abspath(sys.argv[at + 1])
    del sys.argv[at:at + 2]
    return path


def main():
    global SLUICE
    SLUICE = take_path("--sluice")
    unittest.main(module="__main__", verbosity=2)
