// How fast the ways of moving bytes on one GPU are: the kernel on so many SMs, the copy engine one
// by one and in batches, a kernel that lingers; and checksums. docs/gpu.md has the figures.
//
// usage: bench_gpu [GPU] [JSON FILE] [MEASURE...]     needs a GPU; exit status 77 without one
#include "bench/bench_gpu.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

namespace sluice::bench {
namespace {

constexpr std::size_t kChunk = 512 << 10;
constexpr std::size_t kPage = 4096;
constexpr std::uint32_t kSms[] = {1, 2, 4, 8, 16};
constexpr Nanoseconds kLinger = from_us(100);

const char* name_of(Place place) { return place == Place::kDevice ? "device" : "pinned"; }
const char* name_of(CopyBy by) { return by == CopyBy::kKernel ? "kernel" : "copy engine"; }

// One 512 KiB chunk, from the call to the moment at which the host sees that it is done.
void launch_to_visible(Bench& bench) {
  const auto empty = bench.empty_launch_us();
  bench.report("launch_to_visible", {{"pool", "none"}, {"by", "a launch that copies nothing"}},
               {{"p50_us", empty.p50}, {"p99_us", empty.p99}});
  for (const Place pool : {Place::kDevice, Place::kPinned}) {
    for (const std::size_t fragment : {kPage, kChunk}) {
      const Work work = bench.work(pool, Place::kDevice, kChunk, fragment);
      for (const std::uint32_t sms : kSms) {
        const auto us = bench.latencies_us({.sms = sms, .unpack = CopyBy::kKernel}, work);
        bench.report("launch_to_visible",
                     {{"pool", name_of(pool)},
                      {"fragment", fmt::format("{}", fragment)},
                      {"by", fmt::format("kernel, {} SMs", sms)}},
                     {{"p50_us", us.p50}, {"p99_us", us.p99}});
        const auto fed =
            bench.latencies_us({.sms = sms, .unpack = CopyBy::kKernel, .linger = kLinger}, work);
        bench.report("launch_to_visible",
                     {{"pool", name_of(pool)},
                      {"fragment", fmt::format("{}", fragment)},
                      {"by", fmt::format("kernel that lingers, {} SMs", sms)}},
                     {{"p50_us", fed.p50}, {"p99_us", fed.p99}});
      }
      const auto us = bench.latencies_us({.unpack = CopyBy::kCopy}, work);
      bench.report("launch_to_visible",
                   {{"pool", name_of(pool)},
                    {"fragment", fmt::format("{}", fragment)},
                    {"by", "copy engine"}},
                   {{"p50_us", us.p50}, {"p99_us", us.p99}});
    }
  }
}

// Small messages: what staging adds to them, both ways.
void small_copies(Bench& bench) {
  for (const std::size_t bytes : {std::size_t{64}, kPage, 4 * kPage, 8 * kPage}) {
    for (const bool out : {true, false}) {
      const Work work = out ? bench.work(Place::kDevice, Place::kPinned, bytes, bytes)
                            : bench.work(Place::kPinned, Place::kDevice, bytes, bytes);
      for (const CopyBy by : {CopyBy::kKernel, CopyBy::kCopy}) {
        for (const Nanoseconds linger : {Nanoseconds{0}, kLinger}) {
          if (by == CopyBy::kCopy && linger > 0) continue;
          const auto us = bench.latencies_us({.sms = 4, .unpack = by, .linger = linger}, work);
          bench.report("small",
                       {{"way", out ? "device to pinned" : "pinned to device"},
                        {"bytes", fmt::format("{}", bytes)},
                        {"by", linger > 0 ? "kernel that lingers" : name_of(by)}},
                       {{"p50_us", us.p50}, {"p99_us", us.p99}});
        }
      }
    }
  }
}

// Fragments of 4 KiB, 8 MiB a batch, two batches in flight, on few SMs.
void bounded(Bench& bench) {
  struct Way {
    Place from, to;
  };
  for (const Way way : {Way{Place::kDevice, Place::kDevice}, Way{Place::kPinned, Place::kDevice},
                        Way{Place::kDevice, Place::kPinned}}) {
    const Work work = bench.work(way.from, way.to, 16 * kChunk, kPage);
    for (const std::uint32_t sms : kSms) {
      for (const Nanoseconds linger : {Nanoseconds{0}, kLinger}) {
        const double rate =
            bench.gbytes_per_s({.sms = sms, .unpack = CopyBy::kKernel, .linger = linger}, work);
        bench.report("bounded",
                     {{"from", name_of(way.from)},
                      {"to", name_of(way.to)},
                      {"by", linger > 0 ? "kernel that lingers" : "kernel"},
                      {"sms", fmt::format("{}", sms)}},
                     {{"gbytes_per_s", rate}});
      }
    }
  }
}

// What a piece may be for the copy engine to win.
void kernel_or_copy(Bench& bench) {
  for (const bool out : {false, true}) {
    for (std::size_t piece = kPage; piece <= (1u << 20); piece *= 4) {
      const Work work = out ? bench.work(Place::kDevice, Place::kPinned, 16 * kChunk, piece)
                            : bench.work(Place::kPinned, Place::kDevice, 16 * kChunk, piece);
      const std::string way = out ? "device to pinned" : "pinned to device";
      for (const CopyBy by : {CopyBy::kKernel, CopyBy::kCopy}) {
        const double rate = bench.gbytes_per_s({.sms = 8, .unpack = by}, work);
        bench.report("kernel_or_copy",
                     {{"way", way}, {"piece", fmt::format("{}", piece)}, {"by", name_of(by)}},
                     {{"gbytes_per_s", rate}, {"host_us_a_piece", bench.host_us_a_piece()}});
      }
      const double rate = bench.batched_gbytes_per_s(work);
      bench.report("kernel_or_copy",
                   {{"way", way}, {"piece", fmt::format("{}", piece)}, {"by", "batched copies"}},
                   {{"gbytes_per_s", rate}, {"host_us_a_piece", bench.host_us_a_piece()}});
    }
  }
}

// Fragments of 4 KiB with the whole GPU, beside one device-to-device copy of the same bytes.
void whole_gpu(Bench& bench) {
  const Work work = bench.work(Place::kDevice, Place::kDevice, 256 << 20, kPage);
  const Work one = bench.work(Place::kDevice, Place::kDevice, 256 << 20, 256 << 20);
  const double copy = bench.gbytes_per_s({.unpack = CopyBy::kCopy}, one);
  bench.report("whole_gpu", {{"by", "device-to-device copy"}}, {{"gbytes_per_s", copy}});
  for (const std::uint32_t sms : {66u, 132u, 264u, 528u}) {
    const double rate = bench.kernel_gbytes_per_s(sms, work);
    bench.report("whole_gpu", {{"by", fmt::format("kernel, {} blocks", sms)}},
                 {{"gbytes_per_s", rate}, {"of_copy", rate / copy}});
  }
}

// 10,000 blocks of 16 KiB, gathered or scattered, beside the same bytes in one piece.
void blocks(Bench& bench) {
  constexpr std::size_t kBlock = 16 << 10;
  constexpr std::size_t kBytes = 10'000 * kBlock;
  for (const bool out : {true, false}) {
    const Place from = out ? Place::kDevice : Place::kPinned;
    const Place to = out ? Place::kPinned : Place::kDevice;
    const double one =
        bench.gbytes_per_s({.unpack = CopyBy::kCopy}, bench.work(from, to, kBytes, kChunk));
    for (const std::uint32_t sms : {4u, 8u, 16u}) {
      const double rate = bench.gbytes_per_s({.sms = sms, .unpack = CopyBy::kKernel},
                                             bench.work(from, to, kBytes, kBlock));
      bench.report(
          "blocks",
          {{"way", out ? "gather" : "scatter"}, {"by", fmt::format("kernel, {} SMs", sms)}},
          {{"gbytes_per_s", rate}, {"of_one_piece", rate / one}});
    }
  }
}

// Batches of eight chunks, in one piece each or in several; and one checksum, from the call to the
// moment at which the host sees it.
void checksums(Bench& bench) {
  for (const Place from : {Place::kDevice, Place::kPinned}) {
    for (const std::uint32_t sms : {1u, 2u, 4u, 8u}) {
      const Bench::Texts what{{"from", name_of(from)}, {"sms", fmt::format("{}", sms)}};
      for (const std::size_t piece : {kChunk, 4 * kPage, kPage}) {
        const double rate = bench.gbytes_per_s({.sms = sms}, bench.sums(from, 8, kChunk, piece));
        Bench::Texts texts = what;
        texts.emplace_back("piece", fmt::format("{}", piece));
        bench.report("checksum", texts,
                     {{"gbytes_per_s", rate}, {"host_us_a_piece", bench.host_us_a_piece()}});
      }
      for (const std::size_t bytes : {kChunk, kPage}) {
        const auto us = bench.latencies_us({.sms = sms}, bench.sums(from, 1, bytes, bytes));
        Bench::Texts texts = what;
        texts.emplace_back("bytes", fmt::format("{}", bytes));
        bench.report("checksum_latency", texts, {{"p50_us", us.p50}, {"p99_us", us.p99}});
      }
    }
  }
}

int run(int argc, char** argv) {
  const auto gpu = static_cast<std::uint32_t>(argc > 1 ? std::atoi(argv[1]) : 0);
  auto bench = Bench::create(gpu, argc > 2 ? argv[2] : "");
  if (!bench.ok()) {
    fmt::print(stderr, "bench_gpu: {}\n", bench.status().message());
    return 77;
  }
  const struct {
    std::string_view name;
    void (*run)(Bench&);
  } measures[] = {
      {"checksums", checksums}, {"launch_to_visible", launch_to_visible}, {"small", small_copies},
      {"bounded", bounded},     {"kernel_or_copy", kernel_or_copy},       {"whole_gpu", whole_gpu},
      {"blocks", blocks}};
  const std::vector<std::string_view> wanted(argv + std::min(argc, 3), argv + argc);
  for (const std::string_view name : wanted) {
    if (std::none_of(std::begin(measures), std::end(measures),
                     [&](const auto& measure) { return measure.name == name; })) {
      fmt::print(stderr, "bench_gpu: no measure {}\n", name);
      return 2;
    }
  }
  for (const auto& [name, run_it] : measures) {
    if (wanted.empty() || std::find(wanted.begin(), wanted.end(), name) != wanted.end()) {
      run_it(**bench);
    }
  }
  return (*bench)->good() ? 0 : 1;
}

}  // namespace
}  // namespace sluice::bench

int main(int argc, char** argv) { return sluice::bench::run(argc, argv); }
