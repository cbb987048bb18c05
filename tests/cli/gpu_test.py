#!/usr/bin/env python3
"""The command with memory of GPUs, over a stand-in for the CUDA driver (tests/cuda_standin)."""

import unittest

import harness
from harness import CliTest, rows_of

STANDIN = ""  # The folder that its libcuda.so.1 lies in.
SHORT = ["--channels", "3", "--phase-ms", "40", "--verify", "all"]
KERNELS = ["--set", "gpu_pack=kernel", "--set", "gpu_unpack=kernel"]


class Gpu(CliTest):
    def gpu(self, *arguments, **changes):
        return self.sluice(*arguments, LD_LIBRARY_PATH=STANDIN, **changes)

    def between_gpus(self, *options, **changes):
        return self.gpu("perf", "local", "--gpu", "0", "--server-gpu", "1", *SHORT, *options,
                        **changes)

    def test_settings_say_what_was_found(self):
        result = self.gpu("settings")
        self.assert_works(result)
        self.assertRegex(result.stdout, r"CUDA driver \d+\.\d, 8 GPUs: stand-in for a GPU, ")

    def test_every_way_of_messages(self):
        for ways in ([], KERNELS, [*KERNELS, "--set", "gpu_linger_us=200"],
                     ["--set", "gpu_pack=copy", "--set", "gpu_unpack=copy"],
                     ["--set", "checksum=1", "--set", "gpu_sms=1"]):
            result = self.between_gpus("--size", "0,8,100001,3MiB", *ways, "--json", "out.json")
            self.assert_works(result)
            self.assertEqual(len(rows_of(result.stdout)), 4)
            for row in self.read_json("out.json")["results"]:
                self.assertEqual((row["memory"], row["verified"]), ("cuda", True), ways)

    def test_scattered_blocks_both_ways(self):
        for op in ("write", "read"):
            for ways in ([], ["--set", "gpu_linger_us=200"], ["--set", "checksum=1"]):
                self.assert_works(self.between_gpus("--op", op, "--blocks", "300", "--block-size",
                                                    "5000", "--layout", "random", *ways))

    def test_all_gpus_in_one_process(self):
        result = self.gpu("orchestrate", "local", "--phase-ms", "40", "--size", "1MiB", "--verify",
                          "all", "--json", "out.json")
        self.assert_works(result)
        engines = {row["engine"] for row in self.read_json("out.json")["results"]}
        self.assertEqual(len(engines), 9, engines)  # And their sum.

    def test_a_gpu_that_fails_is_named_with_the_drivers_words(self):
        result = self.between_gpus("--size", "1MiB", "--iterations", "50",
                                   CUDA_STANDIN_FAILS_AFTER="40")
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        self.assertRegex(result.stderr, r"sluice: .*CUDA_ERROR_ILLEGAL_ADDRESS 700 \(told by the "
                                        r"stand-in\)\n\Z")

    def test_a_gpu_that_is_not_there_is_refused(self):
        self.assert_fails(self.gpu("perf", "local", "--gpu", "8", *SHORT), 2,
                          "gpu 8: legal are 0 to 7 here")


if __name__ == "__main__":
    STANDIN = harness.take_path("--standin")
    harness.main()
