#!/usr/bin/env python3
"""Wrong command lines and environments: refused with status 2, naming what would be right."""

import harness
from harness import CliTest


class Usage(CliTest):
    def refuse(self, arguments, *parts, **changes):
        with self.subTest(arguments=arguments, changes=changes):
            self.assert_fails(self.sluice(*arguments, **changes), 2, *parts)

    def test_commands(self):
        self.refuse([], "subcommand is required")
        self.refuse(["perf"], "subcommand is required")
        self.refuse(["pref"], "pref is not a command here, the nearest is perf")
        self.refuse(["perf", "cleint"], "the nearest is client")
        self.refuse(["perf", "client"], "HOST is required")
        self.refuse(["perf", "server", "extra"], "extra is not expected here")

    def test_options(self):
        self.refuse(["perf", "local", "--chanels", "2"],
                    "--chanels is not an option here, the nearest is --channels")
        self.refuse(["perf", "client", "127.0.0.1", "--siez=8"], "the nearest is --size")
        self.refuse(["perf", "local", "--size"], "--size")
        self.refuse(["perf", "local", "--checksum"], "--checksum: 1 required")
        self.refuse(["perf", "local", "--set", "widow=3"],
                    "widow is not a setting, the nearest is window")
        self.refuse(["perf", "local", "--set", "window"], "not of the form NAME=VALUE")
        self.refuse(["perf", "local", "--set", "=3"], "--set =3: not of the form NAME=VALUE")
        self.refuse(["perf", "local", "--set", "foo=1"],
                    "foo is not a setting: `sluice settings` lists them")
        self.refuse(["perf", "local", "--set", "perf_siz=1"], "the nearest is perf_size")

    def test_ranges(self):
        for arguments, legal in [
                (["--channels", "99"], "99 is out of range, legal are 0 to 64"),
                (["--channels", "-1"], "legal are 0 to 64"),
                (["--channels", "two"], '"two" is not a number, legal are 0 to 64'),
                (["--chunk", "1"], "legal are 4 KiB to 64 MiB"),
                (["--window", "0"], "legal are 1 to 64"),
                (["--size", "9G"], "9G is out of range, legal are 0 to 8 GiB"),
                (["--size", "8,,8"], "legal are 0 to 8 GiB"),
                (["--depth", "0"], "legal are 1 to 256"),
                (["--iterations", "1e9"], "legal are 0 to 1000000000"),
                (["--verify", "some"], "legal are first, all, none"),
                (["--gpu", "-2"], "0 to 1023"),
                (["--cores", "x"], "x"),
                (["--peer-timeout-ms", "1"], "legal are 10 to 3600000 ms"),
                (["--set", "log_level=loud"], "legal are error, warning, info, debug, trace"),
        ]:
            self.refuse(["perf", "local", *arguments], legal)
        self.refuse(["perf", "client", "127.0.0.1", "--port", "0"], "legal are 1 to 65535")
        self.refuse(["perf", "server", "--port", "65536"], "legal are 1 to 65535")
        self.refuse(["perf", "sweep", "--channels", "1,0"], "legal are 1 to 64")
        self.refuse(["perf", "sweep", "--channels", "1,x"], '"x"', "legal are 1 to 64")

    def test_environment(self):
        self.refuse(["perf", "local"],
                    "environment SLUICE_CHANNELS", "legal are 0 to 64", SLUICE_CHANNELS="many")
        self.refuse(["perf", "local"], "environment UCCL_TCPX_NUM_CHANNELS",
                    UCCL_TCPX_NUM_CHANNELS="65")
        self.refuse(["perf", "local"], "legal are 0 to 8 GiB", UCCL_TCPX_PERF_SIZE="large")
        self.refuse(["settings"], "environment SLUICE_WINDOW", SLUICE_WINDOW="")

    def test_help_is_no_error(self):
        for arguments in [["--help"], ["perf", "--help"], ["perf", "client", "--help"],
                          ["settings", "--help"]]:
            result = self.sluice(*arguments)
            self.assert_works(result)
            self.assertIn("Usage: sluice", result.stdout)
            self.assertEqual(result.stderr, "")
            self.assertNotIn("--checksum", result.stdout, "`sluice settings` lists those")
            self.assertNotIn("hidden", result.stdout)
        self.assertRegex(self.sluice("--version").stdout, r"\Asluice \d+\.\d+\.\d+\n\Z")

    def test_a_typo_in_the_environment_is_told(self):
        result = self.sluice("settings", SLUICE_CHANELS="2")
        self.assert_works(result)
        self.assertEqual(result.stderr, "sluice: environment SLUICE_CHANELS is not a setting, the "
                                        "nearest is SLUICE_CHANNELS\n")
        for command in (["perf"], ["perf", "multi"], ["orchestrate"]):
            engines = [] if command == ["perf"] else ["--engines", "2"]
            result = self.sluice(*command, "local", *engines, "--size", "8", "--phase-ms", "10",
                                 SLUICE_CHANELS="2")
            self.assert_works(result)
            self.assertEqual(result.stderr.count("SLUICE_CHANELS"), 1, result.stderr)

    def test_options_that_go_not_together(self):
        write = ["--op", "write"]
        blocks = [*write, "--blocks", "2", "--block-size", "8"]
        for options, part in [(["--layout", "random"], "--layout is for --op write"),
                              ([*write, "--layout", "random"], "--layout is of --blocks"),
                              ([*blocks, "--size", "8"], "--size contradicts --blocks"),
                              (["--recorder-dir", "nonexistent"],
                               "recorder_dir: cannot write into nonexistent")]:
            self.refuse(["perf", "local", *options], part)
            self.refuse(["perf", "multi", "local", "--engines", "2", *options], part)
            self.refuse(["orchestrate", "local", "--engines", "2", *options], part)


class Settings(CliTest):
    def test_values_and_where_they_come_from(self):
        result = self.sluice("settings", "--chunk-bytes", "1M", "--set", "spin_us=7",
                             SLUICE_WINDOW="8", UCCL_TCPX_NUM_CHANNELS="4", SLUICE_TOKEN="sesame")
        self.assert_works(result)
        rows = {line.split()[0]: line.split()[1:] for line in result.stdout.splitlines() if line}
        self.assertEqual(rows["chunk_bytes"][:3], ["1", "MiB", "--chunk-bytes"])
        self.assertEqual(rows["spin_us"][:3], ["7", "us", "--set"])
        self.assertEqual(rows["window"][:2], ["8", "SLUICE_WINDOW"])
        self.assertEqual(rows["channels"][:2], ["4", "UCCL_TCPX_NUM_CHANNELS"])
        self.assertEqual(rows["max_peers"][:2], ["256", "default"])
        self.assertEqual(rows["token"][:2], ["(set)", "SLUICE_TOKEN"])
        self.assertNotIn("sesame", result.stdout + result.stderr)

    def test_contradictions_are_refused(self):
        self.assert_fails(self.sluice("settings", "--allow-anyone", "1", SLUICE_TOKEN="sesame"), 2,
                          "contradicts token")


if __name__ == "__main__":
    harness.main()
