#include "tools/probe/plugin_under_probe.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "src/base/clock.h"
#include "src/net/plugin/plugin_log.h"

namespace sluice::probe {
namespace {

constexpr std::size_t kPageBytes = 4096;

std::size_t whole_pages(std::size_t bytes) {
  return std::max(kPageBytes, (bytes + kPageBytes - 1) / kPageBytes * kPageBytes);
}

}  // namespace

void Probe::load() {
  step("dlopen");
  ::signal(SIGPIPE, SIG_IGN);
  auto library = DynamicLibrary::open(options_.file);
  if (!library.ok()) fails(library.status().to_string());
  library_.emplace(library.take());
  for (int version = kNewestPluginVersion; version >= kOldestPluginVersion; --version) {
    const void* symbol = library_->symbol(plugin_symbol(version));
    if (symbol == nullptr) continue;
    auto table = adapt_plugin_table(version, symbol);
    if (!table.ok()) fails(table.status().to_string());
    table_ = table.take();
    break;
  }
  if (table_ == nullptr) fails("no table of versions 5 to 12");
  step("init");
  want(table_->init(plugin_logger), "init");
  int devices = 0;
  want(table_->devices(&devices), "devices");
  if (options_.device >= devices) {
    fails(fmt::format("device {} of {} devices", options_.device, devices));
  }
  want(table_->get_properties(options_.device, device_), "getProperties");
}

void Probe::pass(std::string seen, nlohmann::json facts) const {
  reporter_.conclude({Verdict::kPass, std::move(seen), "", std::move(facts)});
}

void Probe::deviates(std::string seen, std::string consequence) const {
  reporter_.conclude({Verdict::kDeviation, std::move(seen), std::move(consequence), {}});
}

void Probe::fails(std::string seen) const {
  seen += plugin_warning_clause();
  const Verdict verdict = tolerated_.empty() ? Verdict::kFail : Verdict::kDeviation;
  reporter_.conclude({verdict, std::move(seen), tolerated_, {}});
}

void Probe::want(ResultCode code, const char* call) const {
  if (code != ResultCode::kSuccess) fails(fmt::format("{} says {}", call, sluice::to_string(code)));
}

bool Probe::within(double seconds, const std::function<bool()>& done) {
  const SystemClock clock;
  const Nanoseconds end = clock.now() + from_ms(static_cast<std::int64_t>(seconds * 1e3));
  for (std::uint32_t turn = 0; !done(); ++turn) {
    if (clock.now() > end) return false;
    if (turn % 16 == 15) ::usleep(20);
  }
  return true;
}

Probe::Peer Probe::fork_peer(const std::function<void(Probe&, int socket)>& run) const {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) fails("no socket pair");
  const pid_t child = ::fork();
  if (child < 0) fails("no second process");
  if (child > 0) {
    ::close(ends[1]);
    return {child, ends[0]};
  }
  ::close(ends[0]);
  Probe peer(reporter_, options_);
  run(peer, ends[1]);
  ::_exit(0);
}

Buffer::Buffer(std::size_t bytes) : bytes_(whole_pages(bytes)) {
  void* all = ::mmap(nullptr, bytes_ + kPageBytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (all == MAP_FAILED) std::abort();
  data_ = static_cast<std::byte*>(all);
  ::mprotect(data_ + bytes_, kPageBytes, PROT_NONE);
}

std::byte pattern_at(std::size_t position, std::uint64_t seed) {
  return static_cast<std::byte>(((position + seed * 131) * 2654435761u + position / 253) >> 3);
}

void Sender::begin(std::span<const std::byte> handle) {
  handle_ = new std::array<std::byte, nccl_abi::kHandleBytes>{};
  std::copy(handle.begin(), handle.end(), handle_->begin());
}

bool Sender::poll() {
  if (comm_ != nullptr) return true;
  probe_.want(probe_.net().connect(probe_.options().device, handle_->data(), &comm_), "connect");
  if (comm_ == nullptr) return false;
  probe_.want(
      probe_.net().reg_mr(comm_, buffer_.data(), buffer_.bytes(), probe_.memory_type(), &memory_),
      "regMr");
  return true;
}

void Sender::fill(std::size_t bytes, std::uint64_t seed) {
  std::byte* const at = buffer_.data();
  for (std::size_t i = 0; i < bytes; ++i) at[i] = pattern_at(i, seed);
}

ResultCode Sender::try_post(std::size_t bytes, void*& request) {
  request = nullptr;
  return probe_.net().isend(comm_, buffer_.data(), bytes, memory_, &request);
}

void* Sender::post(std::size_t bytes) {
  void* request = nullptr;
  if (!Probe::within(kArriveSeconds, [&] {
        probe_.want(try_post(bytes, request), "isend");
        return request != nullptr;
      })) {
    probe_.fails("isend stays busy though nothing is in flight");
  }
  return request;
}

bool Sender::done(void* request) {
  int done = 0;
  int size = 0;
  probe_.want(probe_.net().test(request, &done, &size), "test of a send");
  return done != 0;
}

void Sender::close() {
  if (comm_ == nullptr) return;
  probe_.step("deregMr and closeSend");
  if (memory_ != nullptr) probe_.want(probe_.net().dereg_mr(comm_, memory_), "deregMr");
  probe_.want(probe_.net().close_send(comm_), "closeSend");
  comm_ = nullptr;
}

void Receiver::listen() {
  handle_ = new std::array<std::byte, nccl_abi::kHandleBytes>{};
  probe_.want(probe_.net().listen(probe_.options().device, handle_->data(), &listen_comm_),
              "listen");
  if (listen_comm_ == nullptr) probe_.fails("listen gives no comm");
}

bool Receiver::poll() {
  if (comm_ != nullptr) return true;
  if (storage_ == nullptr) storage_ = new nccl_abi::DeviceHandle{};
  probe_.want(probe_.net().accept(listen_comm_, &comm_, probe_.unpacks() ? storage_ : nullptr),
              "accept");
  if (comm_ == nullptr) return false;
  if (probe_.unpacks()) {
    if (storage_->handle == nullptr || storage_->size != sizeof(device_)) {
      probe_.fails("accept does not fill the device handle of an unpacking plugin");
    }
    const Status status = probe_.memory().read(&device_, storage_->handle, sizeof(device_));
    if (!status.ok()) probe_.fails(status.to_string());
    if (device_.head != ~0ull) probe_.fails("the device handle's head is not all ones");
  }
  probe_.want(
      probe_.net().reg_mr(comm_, buffer_.data(), buffer_.bytes(), probe_.memory_type(), &memory_),
      "regMr");
  return true;
}

ResultCode Receiver::try_post(std::size_t bytes, void*& request) {
  // NCCL leaves this where it need not be told, from v9 on: it must be overwritten.
  const auto optional = reinterpret_cast<void*>(nccl_abi::kOptionalReceiveCompletion);
  request = probe_.net().version() >= 9 ? optional : nullptr;
  const ResultCode code = probe_.net().irecv(comm_, place(bytes), bytes, memory_, &request);
  if (request == optional && code == ResultCode::kSuccess) {
    probe_.fails("irecv does not overwrite the request");
  }
  return code;
}

void* Receiver::post(std::size_t bytes) {
  void* request = nullptr;
  if (!Probe::within(kArriveSeconds, [&] {
        probe_.want(try_post(bytes, request), "irecv");
        return request != nullptr;
      })) {
    probe_.fails("irecv stays busy though nothing is in flight");
  }
  return request;
}

bool Receiver::done(void* request, int& size) {
  int done = 0;
  size = kUnwritten;
  probe_.want(probe_.net().test(request, &done, &size), "test of a receive");
  return done != 0;
}

void Receiver::collect(void* request, std::size_t room, std::size_t bytes, std::uint64_t seed) {
  unpack(collected_, room, bytes);
  check(room, bytes, seed);
  consume(request);
}

void Receiver::unpack(std::uint64_t number, std::size_t room, std::size_t bytes) {
  if (!probe_.unpacks()) return;
  const std::uint64_t slot = number % nccl_abi::kUnpackSlots;
  const std::uint64_t count = device_.meta->counts[slot];
  if (count > nccl_abi::kUnpackEntries) probe_.fails(fmt::format("{} fragments in a slot", count));
  std::uint64_t sum = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    const nccl_abi::UnpackEntry entry = device_.meta->entries[slot][i];
    sum += entry.length;
    if (entry.destination_offset > room || entry.length > room - entry.destination_offset) {
      probe_.deviates(fmt::format("a fragment ends {} bytes behind a receive of {}",
                                  entry.destination_offset + entry.length - room, room),
                      "each fragment is checked against its destination before it is used");
    }
    const Status status = probe_.memory().read(
        place(room) + entry.destination_offset,
        static_cast<const std::byte*>(device_.bounce_pool) + entry.source_offset, entry.length);
    if (!status.ok()) probe_.fails(status.to_string());
  }
  if (sum != bytes) {
    probe_.fails(fmt::format("the fragments of {} bytes come to {}", bytes, sum));
  }
}

void Receiver::check(std::size_t room, std::size_t bytes, std::uint64_t seed) {
  const std::byte* const at = place(room);
  for (std::size_t i = 0; i < bytes; ++i) {
    if (at[i] == pattern_at(i, seed)) continue;
    probe_.fails(fmt::format("byte {} of {} is wrong in message {}", i, bytes, collected_));
  }
}

void Receiver::consume(void* request) {
  ++collected_;
  if (probe_.net().wants_consumed()) {
    probe_.want(probe_.net().irecv_consumed(comm_, request), "irecvConsumed");
  }
}

void Receiver::close() {
  if (comm_ == nullptr) return;
  probe_.step("deregMr and closeRecv");
  if (memory_ != nullptr) probe_.want(probe_.net().dereg_mr(comm_, memory_), "deregMr");
  probe_.want(probe_.net().close_recv(comm_), "closeRecv");
  comm_ = nullptr;
}

void Receiver::close_listen() {
  probe_.step("closeListen");
  probe_.want(probe_.net().close_listen(listen_comm_), "closeListen");
}

Link::Link(Probe& probe, std::size_t bytes)
    : sender(probe, bytes), receiver(probe, bytes), probe_(probe) {
  probe.step("listen, connect and accept");
  receiver.listen();
  sender.begin(receiver.handle());
  if (!Probe::within(kSetUpSeconds, [&] {
        const bool accepted = receiver.poll();
        return sender.poll() && accepted;
      })) {
    probe.fails(fmt::format("no connection within {} s", kSetUpSeconds));
  }
}

int Link::exchange(std::size_t bytes, std::size_t room, std::uint64_t seed) {
  sender.fill(bytes, seed);
  void* received = receiver.post(room);
  void* sent = sender.post(bytes);
  bool send_done = false;
  bool receive_done = false;
  int size = 0;
  if (!Probe::within(kArriveSeconds, [&] {
        send_done = send_done || sender.done(sent);
        receive_done = receive_done || receiver.done(received, size);
        return send_done && receive_done;
      })) {
    probe_.fails(fmt::format("a message of {} bytes does not {} within {} s", bytes,
                             send_done ? "arrive" : "leave", kArriveSeconds));
  }
  receiver.collect(received, room, bytes, seed);
  return size;
}

}  // namespace sluice::probe
