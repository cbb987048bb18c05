// Moves a paged KV cache between two processes as a prefill and a decode instance of an inference
// server do: the prefill side computes the blocks of a request and names them; the decode side
// pulls them into free blocks of its own cache, all layers in one read; the notification of that
// read tells the prefill side, whose engine works on a thread of its own, that it may free them.
//
//   kv_transfer                        both, as two processes on loopback
//   kv_transfer prefill ADDRESS_FILE   writes its address to the file, waits for a decode side
//   kv_transfer decode ADDRESS         the text in that file; holds a secret
//
// Settings come from the environment: SLUICE_CHANNELS, SLUICE_NET and others (`sluice settings`).
#include <sluice/engine.h>
#include <sluice/progress_thread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace {

using std::chrono::microseconds;

constexpr std::uint64_t kParts = 2 * 16;         // K and V of 16 layers
constexpr std::uint64_t kBlocks = 128;           // of each part
constexpr std::uint64_t kBlockBytes = 16 << 10;  // 16 tokens, 4 heads, 128 values of 2 bytes
constexpr std::uint32_t kRequests = 20;
constexpr microseconds kPatience{30'000'000};
constexpr microseconds kMoment{100'000};  // Between two looks at whether the other side is there.

// The cache is [part][block][byte]; where a block's share of one part begins.
constexpr std::uint64_t offset_of(std::uint64_t part, std::uint64_t block) {
  return (part * kBlocks + block) * kBlockBytes;
}

// What a model would compute: block number `position` of a request, in one part.
void compute(std::uint32_t request, std::uint64_t part, std::uint64_t position,
             std::vector<std::uint64_t>& words) {
  std::uint64_t seed = (std::uint64_t{request} << 40) + (part << 20) + position + 1;
  words.resize(kBlockBytes / sizeof(std::uint64_t));
  for (std::uint64_t& word : words) word = seed = seed * 6364136223846793005 + 1442695040888963407;
}

class Cache {
 public:
  Cache() : bytes(kParts * kBlocks * kBlockBytes), free_(kBlocks) {
    std::iota(free_.begin(), free_.end(), 0u);
    std::shuffle(free_.begin(), free_.end(), std::mt19937(std::random_device()()));
  }
  // `count` blocks, wherever they are free; none: there are not so many.
  std::vector<std::uint32_t> take(std::size_t count) {
    if (count > free_.size()) return {};
    std::vector<std::uint32_t> blocks(free_.end() - static_cast<long>(count), free_.end());
    free_.resize(free_.size() - count);
    return blocks;
  }
  void give_back(const std::vector<std::uint32_t>& blocks) {
    free_.insert(free_.begin(), blocks.begin(), blocks.end());
  }

  std::vector<std::byte> bytes;

 private:
  std::vector<std::uint32_t> free_;
};

// What the prefill side says of a request. Both ends are of one build, so it goes as it lies.
struct Offer {
  std::uint32_t request = 0;
  std::vector<std::uint32_t> blocks;

  [[nodiscard]] std::string pack() const {
    std::string bytes(reinterpret_cast<const char*>(&request), sizeof request);
    bytes.append(reinterpret_cast<const char*>(blocks.data()), blocks.size() * 4);
    return bytes;
  }
  static bool unpack(const std::string& bytes, Offer& offer) {
    if (bytes.size() < 4 || bytes.size() % 4 != 0) return false;
    offer.blocks.resize(bytes.size() / 4 - 1);
    std::memcpy(&offer.request, bytes.data(), 4);
    std::memcpy(offer.blocks.data(), bytes.data() + 4, bytes.size() - 4);
    return std::all_of(offer.blocks.begin(), offer.blocks.end(),
                       [](std::uint32_t block) { return block < kBlocks; });
  }
};

int fail(const char* who, const sluice::Status& status) {
  std::fprintf(stderr, "%s: %s\n", who, status.to_string().c_str());
  return 1;
}

sluice::Result<std::unique_ptr<sluice::Engine>> make_engine(const char* name) {
  auto options = sluice::options_from_environment();
  if (!options.ok()) return options.status();
  options->name = name;
  return sluice::Engine::create(*options);
}

// ---- prefill

class Prefill {
 public:
  explicit Prefill(std::unique_ptr<sluice::ProgressThread> engine) : engine_(std::move(engine)) {}

  // Registers the cache, waits for the decode side, and tells it where the cache is.
  sluice::Status meet() {
    sluice::Result<std::string> exported = sluice::Status();
    engine_->run([&](sluice::Engine& engine) {
      const auto region =
          engine.register_memory(cache_.bytes.data(), cache_.bytes.size(), sluice::Memory::kHost);
      exported = region.ok() ? engine.export_region(*region, sluice::Access::kRead)
                             : sluice::Result<std::string>(region.status());
    });
    if (!exported.ok()) return exported.status();
    std::array<sluice::PeerEvent, 1> event;
    if (engine_->poll_peers(event, kPatience) == 0) {
      return {sluice::StatusCode::kTimedOut, "no decode side came"};
    }
    if (!event[0].status.ok()) return event[0].status;
    peer_ = event[0].peer;
    return tell(*exported);
  }

  // Serves all requests; each ends when the decode side says that it has read it.
  sluice::Status serve() {
    std::mt19937 random(std::random_device{}());
    std::uint32_t next = 0;
    while (next < kRequests || !reading_.empty()) {
      const std::size_t count = 8 + random() % 25;
      Offer offer{next, next < kRequests ? cache_.take(count) : std::vector<std::uint32_t>()};
      if (offer.blocks.empty()) {
        if (sluice::Status status = hear(); !status.ok()) return status;
        continue;
      }
      fill(offer);
      if (sluice::Status status = tell(offer.pack()); !status.ok()) return status;
      reading_.emplace(next++, std::move(offer.blocks));
    }
    return {};
  }

 private:
  void fill(const Offer& offer) {
    std::vector<std::uint64_t> words;
    for (std::uint64_t part = 0; part < kParts; ++part) {
      for (std::size_t i = 0; i < offer.blocks.size(); ++i) {
        compute(offer.request, part, i, words);
        std::memcpy(cache_.bytes.data() + offset_of(part, offer.blocks[i]), words.data(),
                    kBlockBytes);
      }
    }
  }
  sluice::Status tell(const std::string& bytes) {
    sluice::Result<sluice::TransferId> id = sluice::Status();
    engine_->run([&](sluice::Engine& engine) {
      id = engine.notify(peer_, std::as_bytes(std::span(bytes.data(), bytes.size())));
    });
    if (id.ok()) return {};
    // A peer that is lost is known no more: what became of it says more than that.
    const sluice::Status lost = loss(kMoment);
    return lost.ok() ? id.status() : lost;
  }
  // Why the decode side is gone; OK while it is there.
  sluice::Status loss(microseconds patience) {
    std::array<sluice::PeerEvent, 1> event;
    return engine_->poll_peers(event, patience) == 1 ? event[0].status : sluice::Status();
  }
  sluice::Status hear() {
    std::array<sluice::Notification, 8> told;
    std::size_t count = 0;
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while ((count = engine_->poll_notifications(told, kMoment)) == 0) {
      if (sluice::Status lost = loss(microseconds(0)); !lost.ok()) return lost;
      if (std::chrono::steady_clock::now() > end) {
        return {sluice::StatusCode::kTimedOut, "the decode side is silent"};
      }
    }
    for (std::size_t i = 0; i < count; ++i) {
      std::uint32_t request = kRequests;
      if (told[i].bytes.size() == 4) std::memcpy(&request, told[i].bytes.data(), 4);
      const auto found = reading_.find(request);
      if (found == reading_.end()) return {sluice::StatusCode::kProtocol, "no such request"};
      cache_.give_back(found->second);
      reading_.erase(found);
    }
    return {};
  }

  Cache cache_;
  std::unique_ptr<sluice::ProgressThread> engine_;  // Gone before the cache is.
  sluice::PeerId peer_{};
  std::map<std::uint32_t, std::vector<std::uint32_t>> reading_;  // Blocks by request.
};

// The file is there at once with all that it holds, for whoever waits for it.
sluice::Status leave_address(const std::string& file, const std::string& address) {
  const std::string part = file + ".part";
  std::ofstream stream(part);
  stream << address << '\n';
  stream.close();
  if (stream && std::rename(part.c_str(), file.c_str()) == 0) return {};
  return sluice::Status::from_errno(errno, "cannot write " + file);
}

int prefill(const std::string& address_file) {
  auto engine = make_engine("prefill");
  if (!engine.ok()) return fail("prefill", engine.status());
  const sluice::Status left = leave_address(address_file, (*engine)->address());
  if (!left.ok()) return fail("prefill", left);
  auto thread = sluice::ProgressThread::start(engine.take());
  if (!thread.ok()) return fail("prefill", thread.status());
  Prefill side(thread.take());
  sluice::Status status = side.meet();
  if (status.ok()) status = side.serve();
  return status.ok() ? 0 : fail("prefill", status);
}

// ---- decode

class Decode {
 public:
  explicit Decode(std::unique_ptr<sluice::Engine> engine) : engine_(std::move(engine)) {}

  sluice::Status run(const std::string& address) {
    const auto region =
        engine_->register_memory(cache_.bytes.data(), cache_.bytes.size(), sluice::Memory::kHost);
    if (!region.ok()) return region.status();
    region_ = *region;
    const auto peer = engine_->connect(address);
    if (!peer.ok()) return peer.status();
    peer_ = *peer;
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (done_ < kRequests) {
      if (std::chrono::steady_clock::now() > end) {
        return {sluice::StatusCode::kTimedOut, "the requests did not come"};
      }
      sluice::Status status = pass();
      if (!status.ok()) return status;
    }
    return {};
  }

 private:
  struct Reading {
    Offer offer;
    std::vector<std::uint32_t> mine;
    std::chrono::steady_clock::time_point since;
  };

  sluice::Status pass() {
    if (engine_->progress() == 0) engine_->wait(microseconds(1000));
    std::array<sluice::Notification, 8> told;
    const std::size_t heard = engine_->poll_notifications(told);
    for (std::size_t i = 0; i < heard; ++i) {
      if (sluice::Status status = take(told[i].bytes); !status.ok()) return status;
    }
    std::array<sluice::Completion, 8> completions;
    for (std::size_t count; (count = engine_->poll(completions)) > 0;) {
      for (std::size_t i = 0; i < count; ++i) {
        if (sluice::Status status = finish(completions[i]); !status.ok()) return status;
      }
    }
    while (!offers_.empty()) {
      std::vector<std::uint32_t> mine = cache_.take(offers_.back().blocks.size());
      if (mine.empty()) break;  // Until others are done.
      if (sluice::Status status = pull(std::move(mine)); !status.ok()) return status;
    }
    // The other side leaves once it has heard of the last read.
    std::array<sluice::PeerEvent, 1> event;
    const bool lost = engine_->poll_peers(event) == 1 && !event[0].status.ok();
    return lost && done_ < kRequests ? event[0].status : sluice::Status();
  }
  // The first that comes is the other cache, all others are offers.
  sluice::Status take(const std::string& bytes) {
    if (!imported_) {
      const auto remote = engine_->import_region(peer_, bytes);
      imported_ = remote.ok();
      if (imported_) remote_ = *remote;
      return remote.status();
    }
    Offer offer;
    if (!Offer::unpack(bytes, offer)) return {sluice::StatusCode::kProtocol, "not an offer"};
    offers_.insert(offers_.begin(), std::move(offer));
    return {};
  }
  // All blocks of all layers in one transfer.
  sluice::Status pull(std::vector<std::uint32_t> mine) {
    Reading reading{std::move(offers_.back()), std::move(mine), std::chrono::steady_clock::now()};
    offers_.pop_back();
    std::vector<sluice::Slice> into;
    std::vector<sluice::RemoteSlice> from;
    for (std::uint64_t part = 0; part < kParts; ++part) {
      for (std::size_t i = 0; i < reading.mine.size(); ++i) {
        into.push_back({region_, offset_of(part, reading.mine[i]), kBlockBytes});
        from.push_back({remote_, offset_of(part, reading.offer.blocks[i]), kBlockBytes});
      }
    }
    sluice::TransferOptions options;
    options.notification = std::as_bytes(std::span(&reading.offer.request, 1));
    options.deadline = microseconds(10'000'000);
    const auto id = engine_->read(peer_, into, from, options);
    if (id.ok()) reading_.emplace(*id, std::move(reading));
    return id.status();
  }
  sluice::Status finish(const sluice::Completion& completion) {
    if (!completion.status.ok()) return completion.status;
    const Reading& reading = reading_.at(completion.id);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - reading.since;
    std::vector<std::uint64_t> words;
    for (std::uint64_t part = 0; part < kParts; ++part) {
      for (std::size_t i = 0; i < reading.mine.size(); ++i) {
        compute(reading.offer.request, part, i, words);
        if (std::memcmp(cache_.bytes.data() + offset_of(part, reading.mine[i]), words.data(),
                        kBlockBytes) != 0) {
          return {sluice::StatusCode::kSystem, "a block holds the wrong bytes"};
        }
      }
    }
    std::printf("request %2u: %2zu blocks of %llu parts, %5.1f MB in %6.2f ms, %5.2f GB/s, right\n",
                reading.offer.request, reading.mine.size(), static_cast<unsigned long long>(kParts),
                static_cast<double>(completion.bytes) / 1e6, took.count() * 1e3,
                static_cast<double>(completion.bytes) / 1e9 / took.count());
    cache_.give_back(reading.mine);
    reading_.erase(completion.id);
    ++done_;
    return {};
  }

  Cache cache_;
  std::unique_ptr<sluice::Engine> engine_;  // Gone before the cache is.
  sluice::RegionId region_{};
  sluice::PeerId peer_{};
  sluice::RemoteRegionId remote_{};
  bool imported_ = false;
  std::vector<Offer> offers_;  // The newest first.
  std::map<sluice::TransferId, Reading> reading_;
  std::uint32_t done_ = 0;
};

int decode(const std::string& address) {
  auto engine = make_engine("decode");
  if (!engine.ok()) return fail("decode", engine.status());
  Decode side(engine.take());
  const sluice::Status status = side.run(address);
  return status.ok() ? 0 : fail("decode", status);
}

// Both, in two processes.
int both() {
  std::string folder = "/tmp/kv_transfer.XXXXXX";
  if (::mkdtemp(folder.data()) == nullptr) return 1;
  const std::string file = folder + "/address";
  ::setenv("SLUICE_LISTEN_HOST", "127.0.0.1", 1);
  const pid_t child = ::fork();
  if (child == 0) ::_exit(prefill(file));
  std::string address;
  int ended = 0;
  bool runs = child > 0;
  while (runs && !std::getline(std::ifstream(file), address)) {
    ::usleep(10'000);
    runs = ::waitpid(child, &ended, WNOHANG) == 0;
  }
  const int result = runs ? decode(address) : 1;
  if (runs && result != 0) ::kill(child, SIGTERM);  // Nobody will come to it.
  if (runs) ::waitpid(child, &ended, 0);
  ::unlink(file.c_str());
  ::rmdir(folder.c_str());
  return result != 0 || ended != 0 ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.empty()) return both();
  if (words.size() == 2 && words[0] == "prefill") return prefill(words[1]);
  if (words.size() == 2 && words[0] == "decode") return decode(words[1]);
  std::fprintf(stderr,
               "kv_transfer | kv_transfer prefill ADDRESS_FILE | kv_transfer decode ADDRESS\n");
  return 2;
}
