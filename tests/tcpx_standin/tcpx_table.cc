// The table of the TCPX profile: ncclNetPlugin_v7 and nothing else, as GPUDirect-TCPX v3.1.9 does.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "src/net/plugin/abi_v7.h"
#include "tests/tcpx_standin/tcpx_comm.h"

namespace sluice::standin {
namespace {

namespace abi = nccl_abi::v7;
using nccl_abi::DebugLogger;
using nccl_abi::DeviceHandle;

constexpr std::uint32_t kMostSockets = 8;
constexpr std::size_t kPageBytes = 4096;

struct ListenComm {
  Knobs knobs;
  int device = current_device();
  std::shared_ptr<const Connection::Ports> ports;
  std::shared_ptr<Connection> connection;  // Since the first accept.
  bool answered = false;
};

// The state of a connect, to which the caller's handle points.
struct Connecting {
  Knobs knobs;
  void* handle;
  std::shared_ptr<Connection> connection;
};

ResultCode init(DebugLogger logger) {
  Owner& owner = Owner::get();
  if (owner.initialised.exchange(true)) {
    SLUICE_STANDIN_LOG(kWarn, "gpu lib init twice");
    return ResultCode::kInternalError;
  }
  owner.logger = logger;
  const Knobs knobs = Knobs::from_environment(Side::kSend);
  if (!address_of(knobs.interface)) {
    SLUICE_STANDIN_LOG(kWarn, "no interface found: %s", knobs.interface.c_str());
    return ResultCode::kInternalError;
  }
  SLUICE_STANDIN_LOG(kInfo, "stand-in, chunks of %llu bytes",
                     static_cast<unsigned long long>(knobs.chunk_bytes));
  return ResultCode::kSuccess;
}

ResultCode devices(int* count) {
  *count = static_cast<int>(Knobs::from_environment(Side::kSend).devices);
  return ResultCode::kSuccess;
}

ResultCode get_properties(int device, abi::Properties* properties) {
  // The texts stay ours for ever; the table is the same for every caller.
  static std::array<std::string, 16>& names = *new std::array<std::string, 16>;
  static std::string& path = *new std::string("/sys/devices/virtual/net/" +
                                              Knobs::from_environment(Side::kSend).interface);
  std::string& name = names[static_cast<std::size_t>(device) % names.size()];
  if (name.empty()) name = "standin" + std::to_string(device);
  *properties = {};
  properties->name = name.data();
  properties->pci_path = path.data();
  properties->guid = static_cast<std::uint64_t>(device);
  properties->pointer_support = nccl_abi::kPointerHost | nccl_abi::kPointerCuda;
  properties->speed = 10'000;
  properties->most_comms = 65'536;
  properties->most_receives = 1;
  properties->device_type = nccl_abi::kDeviceUnpack;
  properties->device_version = nccl_abi::kUnpackVersion;
  return ResultCode::kSuccess;
}

void put_address(const sockaddr_in& address, std::array<std::byte, 28>& into) {
  std::memcpy(into.data(), &address, sizeof(address));
}

// On a port that no listen comm of this process has had before. A connect that nobody accepted
// goes on for 20 s after its listen comm was closed; the port's next owner would take it for his
// own peer and wait for ever, as his peer would. (TCPX does nothing against that.)
Socket listen_on_new_port(sockaddr_in& address) {
  std::vector<Socket> refused;  // Kept, so that the kernel gives out others.
  for (;;) {
    sockaddr_in bound = address;
    Socket socket = listen_on(bound, true);
    if (!socket.valid() || Owner::get().first_use_of_port(bound.sin_port)) {
      address = bound;
      return socket;
    }
    refused.push_back(std::move(socket));
  }
}

ResultCode listen(int, void* handle, void** listen_comm) {
  auto comm = std::make_unique<ListenComm>();
  comm->knobs = Knobs::from_environment(Side::kReceive);
  const auto address = address_of(comm->knobs.interface);
  if (!address) return ResultCode::kInternalError;
  auto ports = std::make_shared<Connection::Ports>();
  sockaddr_in data = *address;
  sockaddr_in control = *address;
  ports->data = listen_on_new_port(data);
  ports->control = listen_on_new_port(control);
  if (!ports->data.valid() || !ports->control.valid()) return ResultCode::kSystemError;
  const std::uint32_t threads = comm->knobs.threads;
  ports->sockets =
      threads > kMostSockets ? 0 : std::min(kMostSockets, comm->knobs.sockets_per_thread * threads);
  Handle out{};
  put_address(data, out.data_address);
  put_address(control, out.control_address);
  out.first_port = -1;
  out.ports = -1;
  out.sockets = static_cast<std::int32_t>(ports->sockets);
  out.threads = static_cast<std::int32_t>(threads);
  std::memcpy(handle, &out, sizeof(out));
  comm->ports = std::move(ports);
  Owner::get().remember(comm.get());
  ++Owner::get().counters.open_listen_comms;
  *listen_comm = comm.release();
  return ResultCode::kSuccess;
}

ResultCode begin_connect(void* handle, const Handle& from, void** send_comm) {
  const Knobs knobs = Knobs::from_environment(Side::kSend);
  std::shared_ptr<Connection> connection = Connection::connect(from, knobs);
  if (knobs.faults.on(Fault::kAtOnce)) {
    *send_comm = new TcpxSend(std::move(connection), knobs);
    return ResultCode::kSuccess;
  }
  auto* connecting = new Connecting{knobs, handle, std::move(connection)};
  Owner::get().remember(connecting);
  std::memcpy(static_cast<std::byte*>(handle) + offsetof(Handle, connecting), &connecting,
              sizeof(connecting));
  return ResultCode::kSuccess;
}

// The handle's pointer is kept after the answer, when its state is gone: one more call is what
// TCPX answers with a double free.
ResultCode connect(int, void* handle, void** send_comm, DeviceHandle**) {
  *send_comm = nullptr;
  Handle from;
  std::memcpy(&from, handle, sizeof(from));
  if (from.connecting == nullptr) return begin_connect(handle, from, send_comm);
  if (!Owner::get().knows(from.connecting))
    crash("connect with a handle that is not, or no more, listen's");
  auto* const connecting = static_cast<Connecting*>(from.connecting);
  if (connecting->handle != handle) {
    violation(connecting->knobs.strict, "connect is polled with another handle buffer");
  }
  const Connection::State state = connecting->connection->state();
  if (state == Connection::State::kMaking) return ResultCode::kSuccess;
  const std::unique_ptr<Connecting> answered(connecting);
  static_cast<void>(Owner::get().forget(connecting));
  if (state == Connection::State::kFailed) return ResultCode::kInternalError;
  *send_comm = new TcpxSend(answered->connection, answered->knobs);
  return ResultCode::kSuccess;
}

ResultCode accept(void* listen_comm, void** recv_comm, DeviceHandle** device_handle) {
  *recv_comm = nullptr;
  if (!Owner::get().knows(listen_comm)) crash("accept on what is not, or no more, a listen comm");
  auto& comm = *static_cast<ListenComm*>(listen_comm);
  if (comm.answered) crash("accept after its answer: one connection per listen comm");
  if (comm.connection == nullptr) {
    comm.connection = Connection::accept(comm.ports, comm.knobs);
    return ResultCode::kSuccess;
  }
  const Connection::State state = comm.connection->state();
  if (state == Connection::State::kMaking) return ResultCode::kSuccess;
  comm.answered = true;
  if (comm.device != current_device()) {
    violation(comm.knobs.strict, "accept with another CUDA device current than at listen");
  }
  if (state == Connection::State::kFailed) return ResultCode::kInternalError;
  auto recv = std::make_unique<TcpxRecv>(std::move(comm.connection), comm.knobs);
  recv->fill(device_handle == nullptr ? nullptr : *device_handle);
  *recv_comm = recv.release();
  return ResultCode::kSuccess;
}

ResultCode close_listen(void* listen_comm) {
  if (!Owner::get().forget(listen_comm)) crash("closeListen of what is not a listen comm");
  const std::unique_ptr<ListenComm> comm(static_cast<ListenComm*>(listen_comm));
  --Owner::get().counters.open_listen_comms;
  if (comm->connection != nullptr && !comm->answered) {
    violation(comm->knobs.strict, "closeListen while an accept is pending");
  }
  return ResultCode::kSuccess;
}

ResultCode reg_mr(void* comm, void* data, int size, int type, void** memory_handle) {
  if (type == nccl_abi::kPointerCuda && reinterpret_cast<std::uintptr_t>(data) % kPageBytes != 0) {
    SLUICE_STANDIN_LOG(kWarn, "address %p is not aligned to 4096 bytes", data);
    return ResultCode::kInternalError;
  }
  if (size < 0) return ResultCode::kInternalError;
  const auto& of = *static_cast<const TcpxComm*>(comm);
  if (type == nccl_abi::kPointerCuda && of.device() != current_device()) {
    violation(of.knobs().strict, "regMr with another CUDA device current than the comm's");
  }
  auto* registration =
      new Registration{static_cast<std::byte*>(data), static_cast<std::size_t>(size), type};
  ++Owner::get().counters.open_registrations;
  Owner::get().remember(registration);
  *memory_handle = registration;
  return ResultCode::kSuccess;
}

ResultCode dereg_mr(void*, void* memory_handle) {
  if (memory_handle == nullptr) return ResultCode::kSuccess;
  if (!Owner::get().forget(memory_handle)) crash("deregMr of what is not a registration");
  delete static_cast<Registration*>(memory_handle);
  --Owner::get().counters.open_registrations;
  return ResultCode::kSuccess;
}

ResultCode isend(void* send_comm, void* data, int size, int, void* memory_handle, void** request) {
  return static_cast<TcpxComm*>(send_comm)->post(data, size, memory_handle, request);
}

ResultCode irecv(void* recv_comm, int count, void** data, int* sizes, int*, void** memory_handles,
                 void** request) {
  if (count != 1) return ResultCode::kInternalError;
  return static_cast<TcpxComm*>(recv_comm)->post(data[0], sizes[0], memory_handles[0], request);
}

// Takes `*request` for a request that there is, and tells its size.
ResultCode iflush(void*, int count, void**, int* sizes, void**, void** request) {
  if (count != 1) return ResultCode::kInternalError;
  if (*request == nullptr) crash("iflush is given no request");
  sizes[0] = static_cast<int>(static_cast<const Request*>(*request)->bytes);
  return ResultCode::kSuccess;
}

// Never writes `sizes`.
ResultCode test(void* request, int* done, int*) {
  if (request == nullptr) return ResultCode::kInternalError;
  auto& tested = *static_cast<Request*>(request);
  return tested.comm->test(tested, done);
}

ResultCode close_comm(void* comm) { return static_cast<TcpxComm*>(comm)->close(); }

ResultCode get_device_mr(void*, void*, void**) { return ResultCode::kSuccess; }

ResultCode irecv_consumed(void*, int count, void* request) {
  if (request == nullptr) return ResultCode::kInternalError;
  auto& consumed = *static_cast<Request*>(request);
  return consumed.comm->consumed(count, consumed);
}

}  // namespace
}  // namespace sluice::standin

extern "C" {
__attribute__((visibility("default"))) sluice::nccl_abi::v7::Table ncclNetPlugin_v7 = {
    .name = "sluice-standin",
    .init = sluice::standin::init,
    .devices = sluice::standin::devices,
    .get_properties = sluice::standin::get_properties,
    .listen = sluice::standin::listen,
    .connect = sluice::standin::connect,
    .accept = sluice::standin::accept,
    .reg_mr = sluice::standin::reg_mr,
    .reg_mr_dma_buf = nullptr,
    .dereg_mr = sluice::standin::dereg_mr,
    .isend = sluice::standin::isend,
    .irecv = sluice::standin::irecv,
    .iflush = sluice::standin::iflush,
    .test = sluice::standin::test,
    .close_send = sluice::standin::close_comm,
    .close_recv = sluice::standin::close_comm,
    .close_listen = sluice::standin::close_listen,
    .get_device_mr = sluice::standin::get_device_mr,
    .irecv_consumed = sluice::standin::irecv_consumed,
};
}
