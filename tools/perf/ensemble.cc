#include "tools/perf/ensemble.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <new>
#include <string>

namespace sluice::perf {
namespace {

// A word of a row: "send", "host", "both".
using Word = std::array<char, 16>;

void put(Word& word, const std::string& text) {
  word.fill('\0');
  std::copy_n(text.begin(), std::min(text.size(), word.size() - 1), word.begin());
}
std::string take(const Word& word) {
  return {word.begin(), std::find(word.begin(), word.end(), '\0')};
}

// A ResultRow without strings of its own.
struct FlatRow {
  Word op, memory, direction, layout;
  std::uint64_t size_bytes, blocks, block_bytes, beside_bytes;
  std::uint64_t iterations, latency_iterations, verified_messages;
  std::uint32_t channels;
  bool urgent, verified, has_cpu;
  double gbytes_per_s, p50_us, p99_us, post_us, beside_gbytes_per_s;
  double cpu_s_per_gb, seconds, cpu_seconds;
  EngineCounters counters;
};

FlatRow flat(const ResultRow& row) {
  FlatRow result{};
  put(result.op, row.op);
  put(result.memory, row.memory);
  put(result.direction, row.direction);
  put(result.layout, row.layout);
  result.size_bytes = row.size_bytes;
  result.blocks = row.blocks;
  result.block_bytes = row.block_bytes;
  result.beside_bytes = row.beside_bytes;
  result.urgent = row.urgent;
  result.post_us = row.post_us;
  result.beside_gbytes_per_s = row.beside_gbytes_per_s;
  result.iterations = row.iterations;
  result.latency_iterations = row.latency_iterations;
  result.verified_messages = row.verified_messages;
  result.channels = row.channels;
  result.verified = row.verified;
  result.has_cpu = row.cpu_s_per_gb.has_value();
  result.gbytes_per_s = row.gbytes_per_s;
  result.p50_us = row.p50_us;
  result.p99_us = row.p99_us;
  result.cpu_s_per_gb = row.cpu_s_per_gb.value_or(0);
  result.seconds = row.seconds;
  result.cpu_seconds = row.cpu_seconds;
  result.counters = row.counters;
  return result;
}

ResultRow whole(const FlatRow& row) {
  ResultRow result;
  result.op = take(row.op);
  result.memory = take(row.memory);
  result.direction = take(row.direction);
  result.layout = take(row.layout);
  result.size_bytes = row.size_bytes;
  result.blocks = row.blocks;
  result.block_bytes = row.block_bytes;
  result.beside_bytes = row.beside_bytes;
  result.urgent = row.urgent;
  result.post_us = row.post_us;
  result.beside_gbytes_per_s = row.beside_gbytes_per_s;
  result.iterations = row.iterations;
  result.latency_iterations = row.latency_iterations;
  result.verified_messages = row.verified_messages;
  result.channels = row.channels;
  result.verified = row.verified;
  result.gbytes_per_s = row.gbytes_per_s;
  result.p50_us = row.p50_us;
  result.p99_us = row.p99_us;
  if (row.has_cpu) result.cpu_s_per_gb = row.cpu_s_per_gb;
  result.seconds = row.seconds;
  result.cpu_seconds = row.cpu_seconds;
  result.counters = row.counters;
  return result;
}

}  // namespace

struct Ensemble::Shared {
  struct Member {
    std::atomic<std::uint64_t> gates;                  // That it has come to.
    std::array<std::atomic<std::uint64_t>, 2> values;  // Of the last gate and the one before.
    std::atomic<std::uint32_t> rows;
    std::array<FlatRow, kMostRows> row;
  };
  std::uint32_t members;
  std::atomic<bool> given_up;
  std::array<Member, kMostMembers> member;
};

Result<std::unique_ptr<Ensemble>> Ensemble::create(std::uint32_t members) {
  if (members < 1 || members > kMostMembers) {
    return Status(StatusCode::kInvalidArgument, "engines: " + std::to_string(members) +
                                                    " is out of range, legal are 1 to " +
                                                    std::to_string(kMostMembers));
  }
  Fd fd(::memfd_create("sluice-ensemble", MFD_CLOEXEC));
  if (!fd.valid() || ::ftruncate(fd.get(), sizeof(Shared)) != 0) {
    return Status::from_errno(errno, "memory to be shared with other processes");
  }
  auto ensemble = map(std::move(fd));
  // What a new file holds, zeros, is every atomic's first value.
  if (ensemble.ok()) (*ensemble)->shared_->members = members;
  return ensemble;
}

Result<std::unique_ptr<Ensemble>> Ensemble::join(int fd) {
  struct stat about {};
  if (::fstat(fd, &about) != 0 || about.st_size != static_cast<off_t>(sizeof(Shared))) {
    return Status(StatusCode::kInvalidArgument,
                  "descriptor " + std::to_string(fd) + " is not of those who measure together");
  }
  return map(Fd(fd));
}

Result<std::unique_ptr<Ensemble>> Ensemble::map(Fd fd) {
  static_assert(std::is_trivially_destructible_v<Shared>);
  static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
  void* base = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (base == MAP_FAILED) return Status::from_errno(errno, "mapping shared memory");
  return std::unique_ptr<Ensemble>(
      new Ensemble(std::move(fd), std::launder(static_cast<Shared*>(base))));
}

Ensemble::~Ensemble() { ::munmap(shared_, sizeof(Shared)); }

std::uint32_t Ensemble::members() const { return shared_->members; }

// No one can be two gates ahead of another, so two places for values are enough.
void Ensemble::arrive(std::uint32_t member, std::uint64_t value) {
  Shared::Member& own = shared_->member[member];
  const std::uint64_t gate = own.gates.load(std::memory_order_relaxed);
  own.values[gate % 2].store(value, std::memory_order_relaxed);
  own.gates.store(gate + 1, std::memory_order_release);
}

bool Ensemble::all_here(std::uint32_t member) const {
  const std::uint64_t gates = shared_->member[member].gates.load(std::memory_order_relaxed);
  for (std::uint32_t i = 0; i < shared_->members; ++i) {
    if (shared_->member[i].gates.load(std::memory_order_acquire) < gates) return false;
  }
  return true;
}

std::uint64_t Ensemble::mean(std::uint32_t member) const {
  const std::uint64_t gate = shared_->member[member].gates.load(std::memory_order_relaxed) - 1;
  std::uint64_t sum = 0;
  for (std::uint32_t i = 0; i < shared_->members; ++i) {
    sum += shared_->member[i].values[gate % 2].load(std::memory_order_relaxed);
  }
  return sum / shared_->members;
}

void Ensemble::give_up() { shared_->given_up.store(true); }
bool Ensemble::given_up() const { return shared_->given_up.load(); }

void Ensemble::add_row(std::uint32_t member, const ResultRow& row) {
  Shared::Member& own = shared_->member[member];
  const std::uint32_t index = own.rows.load(std::memory_order_relaxed);
  if (index == kMostRows) return;  // A list of sizes is no longer than that.
  own.row[index] = flat(row);
  own.rows.store(index + 1, std::memory_order_release);
}

std::optional<ResultRow> Ensemble::row(std::uint32_t member, std::uint32_t index) const {
  const Shared::Member& one = shared_->member[member];
  if (index >= std::min(one.rows.load(std::memory_order_acquire), kMostRows)) return std::nullopt;
  return whole(one.row[index]);
}

}  // namespace sluice::perf
