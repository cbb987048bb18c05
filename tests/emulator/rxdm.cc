#include "tests/emulator/rxdm.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace sluice::emulator {
namespace {

constexpr int kBacklog = 128;
constexpr std::size_t kMostClients = 512;
constexpr std::string_view kOk = "Ok.";  // The plugin compares all of it.

bool send_all(int socket, std::string_view bytes) {
  // One reply fits the socket's buffer; who lets replies pile up is dropped.
  return ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT) ==
         static_cast<ssize_t>(bytes.size());
}

bool send_fd(int socket, int fd) {
  char byte = 0;
  iovec data{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &fd, sizeof(fd));
  return ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
}

Result<Fd> listen_at(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return Status::from_errno(ENAMETOOLONG, path);
  std::memcpy(address.sun_path, path.data(), path.size());
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid() ||
      ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(socket.get(), kBacklog) != 0) {
    return Status::from_errno(errno, path);
  }
  return socket;
}

}  // namespace

Result<std::unique_ptr<Rxdm>> Rxdm::start(const RxdmResources& resources) {
  Result<EventFd> stop = EventFd::create();
  if (!stop.ok()) return stop.status();
  std::unique_ptr<Rxdm> rxdm(new Rxdm(resources, stop.take()));
  if (Status status = rxdm->open_sockets(); !status.ok()) return status;
  rxdm->thread_ = std::thread([raw = rxdm.get()] { raw->serve(); });
  return rxdm;
}

Rxdm::~Rxdm() {
  stop_.ring();
  if (thread_.joinable()) thread_.join();
  for (const Listener& listener : listeners_) ::unlink(listener.path.c_str());
}

Status Rxdm::open_sockets() {
  const std::array<std::pair<Service, std::string>, 6> services = {{
      {Service::kInstall, "rx_rule_manager"},
      {Service::kUninstall, "rx_rule_uninstall"},
      {Service::kPoolFd, "get_gpu_fd_" + resources_.gpu},
      {Service::kPoolMetadata, "get_gpu_metadata_" + resources_.gpu},
      {Service::kRegistry, "rxdm_application_registry"},
      {Service::kPagesFd, kPagesSocket},
  }};
  for (const auto& [service, name] : services) {
    std::string path = resources_.folder + "/" + name;
    Result<Fd> socket = listen_at(path);
    if (!socket.ok()) return socket.status();
    listeners_.push_back({service, std::move(path), std::move(*socket)});
  }
  return {};
}

void Rxdm::serve() {
  while (true) {
    std::vector<pollfd> polled = {{stop_.get(), POLLIN, 0}};
    for (const Listener& listener : listeners_)
      polled.push_back({listener.socket.get(), POLLIN, 0});
    for (const Client& client : clients_) polled.push_back({client.socket.get(), POLLIN, 0});
    if (::poll(polled.data(), polled.size(), -1) < 0) continue;
    if (polled[0].revents != 0) return;
    const std::size_t first_client = 1 + listeners_.size();
    std::vector<Client> kept;
    for (std::size_t i = 0; i < clients_.size(); ++i) {
      if (polled[first_client + i].revents == 0 || read_from(clients_[i])) {
        kept.push_back(std::move(clients_[i]));
      }
    }
    clients_ = std::move(kept);
    for (std::size_t i = 0; i < listeners_.size(); ++i) {
      if (polled[1 + i].revents != 0) accept_from(listeners_[i]);
    }
  }
}

void Rxdm::accept_from(const Listener& listener) {
  Fd socket(::accept4(listener.socket.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (socket.valid() && clients_.size() < kMostClients) {
    clients_.push_back({listener.service, std::move(socket), {}});
  }
}

bool Rxdm::read_from(Client& client) {
  std::array<std::byte, 4096> buffer;
  const ssize_t received = ::recv(client.socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (received <= 0) return received < 0 && (errno == EAGAIN || errno == EINTR);
  client.input.insert(client.input.end(), buffer.begin(), buffer.begin() + received);
  while (client.input.size() >= kLengthBytes) {
    const std::span<const std::byte> input(client.input);
    const std::size_t length = announced_length(input.first<kLengthBytes>());
    if (input.size() < kLengthBytes + length) break;
    if (!answer(client, input.subspan(kLengthBytes, length))) return false;
    client.input.erase(client.input.begin(),
                       client.input.begin() + static_cast<std::ptrdiff_t>(kLengthBytes + length));
  }
  return true;
}

bool Rxdm::answer(Client& client, std::span<const std::byte> bytes) {
  const std::optional<RxdmMessage> message = decode(bytes);
  if (!message) return false;
  const int socket = client.socket.get();
  const bool names_gpu = message->raw == resources_.gpu;
  switch (client.service) {
    case Service::kInstall:
    case Service::kUninstall:
      return message->rule &&
             send_all(socket, frame_of_raw(change_rule(client.service, *message->rule)));
    case Service::kPoolFd:
      return names_gpu && send_fd(socket, resources_.pool_fd);
    case Service::kPoolMetadata:
      return names_gpu && send_all(socket, frame_of_raw(metadata()));
    case Service::kPagesFd:
      return names_gpu && send_fd(socket, resources_.pages_fd);
    case Service::kRegistry:
      return message->registers && send_all(socket, frame_of_raw(kOk));
  }
  return false;
}

std::string Rxdm::change_rule(Service service, const FlowRule& rule) {
  if (rule.flow_type != FlowRule::kTcp4 || rule.source.port > 65535 ||
      rule.destination.port > 65535) {
    return "not a rule for TCP over IPv4";
  }
  // Who removes a rule names the flow alone.
  const auto found = std::find_if(rules_.begin(), rules_.end(), [&](const FlowRule& other) {
    return other.source == rule.source && other.destination == rule.destination;
  });
  if (service == Service::kUninstall) {
    if (found == rules_.end()) return "no such rule";
    rules_.erase(found);
    return std::string(kOk);
  }
  if (rule.gpu != resources_.gpu) return "no such GPU: " + rule.gpu;
  // A flow whose process died has left its rule.
  if (found != rules_.end()) rules_.erase(found);
  rules_.push_back(rule);
  return std::string(kOk);
}

std::string Rxdm::metadata() const {
  // IpcGpuMemFdMetadata, as it lies in memory.
  struct {
    int fd;
    std::uint64_t bytes;
    std::uint64_t alignment;
  } record{};
  static_assert(sizeof(record) == 24);
  record.fd = resources_.pool_fd;
  record.bytes = resources_.pool_bytes;
  record.alignment = resources_.pool_alignment;
  std::string text(sizeof(record), '\0');
  std::memcpy(text.data(), &record, sizeof(record));
  return text;
}

}  // namespace sluice::emulator
