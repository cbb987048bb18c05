// Tables, init, registration, and the making of connections.
#include <dirent.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "src/net/plugin/plugin_log.h"
#include "tools/probe/cases.h"

namespace sluice::probe {
namespace {

constexpr char kOneConnection[] = "each listen comm makes one connection, and is never asked again";
constexpr std::uint32_t kBatch = 20;  // Connections that are made at the same time.

nlohmann::json tables_of(Probe& probe) {
  nlohmann::json tables = nlohmann::json::array();
  for (int version = kNewestPluginVersion; version >= kOldestPluginVersion; --version) {
    const void* symbol = probe.library().symbol(plugin_symbol(version));
    if (symbol == nullptr) continue;
    const auto table = adapt_plugin_table(version, symbol);
    if (!table.ok()) probe.fails(table.status().to_string());
    tables.push_back(version);
  }
  return tables;
}

void describe(Probe& probe) {
  probe.load();
  nlohmann::json facts;
  facts["tables"] = tables_of(probe);
  facts["version"] = probe.net().version();
  facts["name"] = probe.net().name();
  facts["consumed"] = probe.net().wants_consumed();
  facts["devices"] = nlohmann::json::array();
  int devices = 0;
  probe.want(probe.net().devices(&devices), "devices");
  for (int device = 0; device < devices; ++device) {
    PluginDevice of;
    probe.want(probe.net().get_properties(device, of), "getProperties");
    facts["devices"].push_back({{"device", device},
                                {"name", of.name},
                                {"pci_path", of.pci_path},
                                {"pointer_support", of.pointer_support},
                                {"speed_mbits", of.speed_mbits},
                                {"device_type", of.device_type},
                                {"device_version", of.device_version},
                                {"largest_message", of.largest_message}});
  }
  probe.pass(fmt::format("version {}", probe.net().version()), std::move(facts));
}

void properties(Probe& probe) {
  probe.load();
  const PluginDevice& device = probe.device();
  if (device.name.empty()) probe.fails("a device without a name");
  if (device.pointer_support < 1 || device.pointer_support > 7) {
    probe.fails(fmt::format("ptrSupport is {}", device.pointer_support));
  }
  if (probe.unpacks() && device.device_version != nccl_abi::kUnpackVersion) {
    probe.fails(fmt::format("unpack version {}", device.device_version));
  }
  if (!probe.unpacks() && device.device_type != nccl_abi::kDeviceHost) {
    probe.fails(fmt::format("netDeviceType {} is not known", device.device_type));
  }
  if (device.largest_message == 0) probe.fails("maxP2pBytes is 0");
  if (device.speed_mbits <= 0) {
    probe.deviates(fmt::format("speed is {}", device.speed_mbits), "NCCL takes 10 Gbit/s instead");
  }
  probe.pass(fmt::format("{} device, pointers {}, {} Mbit/s", probe.unpacks() ? "UNPACK" : "HOST",
                         device.pointer_support, device.speed_mbits));
}

void init_twice(Probe& probe) {
  probe.load();
  probe.step("init for the second time");
  const ResultCode code = probe.net().init(plugin_logger);
  if (code != ResultCode::kSuccess) {
    probe.deviates(fmt::format("the second init says {}", sluice::to_string(code)),
                   "init is called once in a process, however many engines there are");
  }
  Link(probe, 4096).exchange(64, 64, 1);
  probe.pass("works after the second one");
}

void register_unaligned(Probe& probe) {
  probe.load();
  const Link link(probe, 8192);
  void* memory = nullptr;
  const ResultCode code = probe.net().reg_mr(link.sender.comm(), link.sender.buffer().data() + 16,
                                             4096, probe.memory_type(), &memory);
  if (code != ResultCode::kSuccess) {
    probe.deviates(fmt::format("regMr of an address in a page says {}", sluice::to_string(code)),
                   "the pages around a region are registered, from a multiple of 4096 on");
  }
  probe.want(probe.net().dereg_mr(link.sender.comm(), memory), "deregMr");
  probe.pass("takes any address");
}

// `first` is asked alone for a while before the other end is.
void one_end_first(Probe& probe, bool connect_first) {
  probe.load();
  Sender sender(probe, 4096);
  Receiver receiver(probe, 4096);
  receiver.listen();
  sender.begin(receiver.handle());
  probe.step(connect_first ? "connect alone" : "accept alone");
  (void)Probe::within(0.5, [&] { return connect_first ? sender.poll() : receiver.poll(); });
  const bool before = connect_first ? sender.comm() != nullptr : receiver.comm() != nullptr;
  if (!connect_first && before) probe.fails("accept gives a comm before anybody has connected");
  probe.step("both");
  if (!Probe::within(kSetUpSeconds, [&] {
        const bool accepted = receiver.poll();
        return sender.poll() && accepted;
      })) {
    probe.fails("no connection");
  }
  probe.pass(before ? "connect is answered without an accept" : "");
}
void connect_first(Probe& probe) { one_end_first(probe, true); }
void accept_first(Probe& probe) { one_end_first(probe, false); }

void nobody_comes(Probe& probe) {
  probe.load();
  Receiver receiver(probe, 4096);
  receiver.listen();
  probe.step("accept without a sender");
  if (Probe::within(1, [&] { return receiver.poll(); })) probe.fails("accept gives a comm");
  receiver.close_listen();
  probe.step("a connection after that");
  Link(probe, 4096).exchange(64, 64, 1);
  probe.pass("closeListen ends a pending accept");
}

void listener_gone(Probe& probe) {
  probe.load();
  Receiver receiver(probe, 4096);
  receiver.listen();
  Sender sender(probe, 4096);
  sender.begin(receiver.handle());
  receiver.close_listen();
  probe.step("connect to a listener that is closed");
  std::array<std::byte, nccl_abi::kHandleBytes> handle;
  std::memcpy(handle.data(), receiver.handle().data(), handle.size());
  ResultCode code = ResultCode::kSuccess;
  void* comm = nullptr;
  if (!Probe::within(5, [&] {
        code = probe.net().connect(probe.options().device, handle.data(), &comm);
        return code != ResultCode::kSuccess || comm != nullptr;
      })) {
    probe.deviates("connect has no error after 5 s", "connect_timeout_ms ends it");
  }
  if (comm != nullptr) probe.fails("connect gives a comm");
  probe.pass(sluice::to_string(code));
}

void garbage_handle(Probe& probe) {
  probe.load();
  probe.step("connect with a handle of garbage");
  std::array<std::byte, nccl_abi::kHandleBytes> handle;
  handle.fill(std::byte{0x5A});
  void* comm = nullptr;
  ResultCode code = ResultCode::kSuccess;
  const bool answered = Probe::within(2, [&] {
    code = probe.net().connect(probe.options().device, handle.data(), &comm);
    return code != ResultCode::kSuccess || comm != nullptr;
  });
  if (comm != nullptr) probe.fails("connect gives a comm");
  if (!answered) probe.deviates("connect has no error after 2 s", "connect_timeout_ms ends it");
  probe.pass(sluice::to_string(code));
}

void second_accept(Probe& probe) {
  probe.load();
  Link link(probe, 4096);
  probe.step("accept after its answer");
  void* comm = nullptr;
  nccl_abi::DeviceHandle storage{};
  const ResultCode code =
      probe.net().accept(link.receiver.listen_comm(), &comm, probe.unpacks() ? &storage : nullptr);
  probe.tolerate(kOneConnection);
  if (comm != nullptr) probe.fails("a second comm though one sender has connected");
  link.exchange(64, 64, 1);
  probe.pass(code == ResultCode::kSuccess ? "waits for another sender" : sluice::to_string(code));
}

// The listening sockets of this process, whoever has made them.
std::vector<sockaddr_storage> listening_addresses() {
  std::vector<sockaddr_storage> found;
  for (int fd = 3; fd < 1024; ++fd) {
    int listening = 0;
    socklen_t length = sizeof(listening);
    if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) != 0) continue;
    sockaddr_storage address{};
    length = sizeof(address);
    if (listening == 0 || ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0 ||
        (address.ss_family != AF_INET && address.ss_family != AF_INET6)) {
      continue;
    }
    found.push_back(address);
  }
  return found;
}

// Connects, says something or nothing, and stays.
bool play_stranger(const sockaddr_storage& address, bool talks) {
  const int fd = ::socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const socklen_t length =
      address.ss_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), length) != 0) return false;
  const char request[] = "GET / HTTP/1.1\r\nHost: sluice\r\nAccept: */*\r\nUser-Agent: x\r\n\r\n";
  return !talks || ::send(fd, request, sizeof(request), MSG_NOSIGNAL) > 0;
}

void stranger(Probe& probe) {
  probe.load();
  Sender sender(probe, 4096);
  Receiver receiver(probe, 4096);
  receiver.listen();
  const std::vector<sockaddr_storage> addresses = listening_addresses();
  if (addresses.empty()) probe.pass("it listens on no socket of its own");
  probe.step("accept with strangers on its ports");
  probe.tolerate("ports must not be reachable by others; connect_timeout_ms ends the wait");
  for (const sockaddr_storage& address : addresses) {
    if (!play_stranger(address, false) || !play_stranger(address, true)) {
      probe.fails("its port cannot be reached");
    }
  }
  sender.begin(receiver.handle());
  if (!Probe::within(kSetUpSeconds / 2, [&] {
        const bool accepted = receiver.poll();
        return sender.poll() && accepted;
      })) {
    probe.fails("a stranger on its port keeps the sender out");
  }
  void* received = receiver.post(64);
  sender.fill(64, 1);
  void* sent = sender.post(64);
  int size = 0;
  bool send_done = false;
  if (!Probe::within(kSilenceSeconds, [&] {
        send_done = send_done || sender.done(sent);
        return receiver.done(received, size);
      })) {
    probe.fails("a stranger has taken the connection");
  }
  receiver.collect(received, 64, 64, 1);
  probe.pass("strangers are sent away");
}

std::size_t open_descriptors() {
  DIR* folder = ::opendir("/proc/self/fd");
  std::size_t count = 0;
  while (::readdir(folder) != nullptr) ++count;
  ::closedir(folder);
  return count;
}

void make_batch(Probe& probe, std::uint32_t count) {
  std::vector<std::pair<Sender, Receiver>> links;
  links.reserve(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    auto& [sender, receiver] = links.emplace_back(Sender(probe, 4096), Receiver(probe, 4096));
    receiver.listen();
    sender.begin(receiver.handle());
  }
  if (!Probe::within(kSetUpSeconds, [&] {
        bool all = true;
        for (auto& [sender, receiver] : links) {
          const bool accepted = receiver.poll();
          all = sender.poll() && accepted && all;
        }
        if (!all) ::usleep(1000);
        return all;
      })) {
    probe.fails("connections are not made");
  }
  for (auto& [sender, receiver] : links) {
    sender.close();
    receiver.close();
    receiver.close_listen();
  }
}

void many_comms(Probe& probe) {
  probe.load();
  const std::uint32_t comms = probe.options().comms;
  make_batch(probe, std::min(kBatch, comms));
  const std::size_t before = open_descriptors();
  for (std::uint32_t made = kBatch; made < comms; made += kBatch) {
    make_batch(probe, std::min(kBatch, comms - made));
    probe.step(fmt::format("connections, {} made and closed", made));
  }
  const std::size_t after = open_descriptors();
  if (after > before + kBatch) {
    probe.fails(
        fmt::format("{} descriptors open after {} connections, {} before", after, comms, before));
  }
  Link(probe, 4096).exchange(64, 64, 1);
  probe.pass(fmt::format("{} made and closed", comms));
}

constexpr char kForgedHandles[] =
    "the engine wraps handles and shows connect none that a plugin did not make";

const Case kDescription = {"description", "tables, name and devices", describe};

const Case kCases[] = {
    {"properties", "are sane", properties},
    {"init-twice", "init can be called again", init_twice,
     "init is called once in a process, however many engines there are"},
    {"register-unaligned", "regMr takes any address", register_unaligned},
    {"connect-first", "connect does not wait for accept", connect_first},
    {"accept-first", "accept does not wait for connect", accept_first},
    {"nobody-comes", "a listener without a sender can be closed", nobody_comes,
     "an accept that nobody answers is never closed: its comm is kept until the process ends",
     "an accept that nobody answers is never closed: its comm is kept until the process ends"},
    {"listener-gone", "connect to a closed listener is an error", listener_gone, nullptr,
     "connect_timeout_ms ends it"},
    {"garbage-handle", "connect with garbage is an error", garbage_handle, kForgedHandles,
     kForgedHandles},
    {"second-accept", "accept asked again does no harm", second_accept, kOneConnection},
    {"stranger", "a stray TCP client does no harm", stranger,
     "ports must not be reachable by others: a stranger ends the process"},
    {"many-comms", "connections can be made and closed", many_comms},
};

}  // namespace

const Case& description_case() { return kDescription; }
std::span<const Case> set_up_cases() { return kCases; }

}  // namespace sluice::probe
