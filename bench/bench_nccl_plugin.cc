// What two processes move over a NCCL net plugin of host memory, by its v8 table and as NCCL calls
// it: a window of requests on each comm, tested by one polling thread. To be compared with
// bench_tcp_net and raw_socket.
//
//   NCCL_SOCKET_IFNAME==lo bench_nccl_plugin --plugin build/lib/libnccl-net-sluice.so --comms 2
//   NCCL_SOCKET_IFNAME==lo bench_nccl_plugin --plugin ... --mode pingpong --size 8
#include <dlfcn.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/clock.h"
#include "src/net/plugin/abi_v8.h"

namespace {

using namespace sluice;
using nccl_abi::ResultCode;
using Table = nccl_abi::v8::Table;

struct Arguments {
  std::string plugin;
  bool pingpong = false;
  std::uint64_t comms = 2;
  std::uint64_t bytes = std::uint64_t{8} << 30;  // Over all comms.
  std::uint64_t size = 512 << 10;                // Of a message.
  std::uint64_t window = 16;                     // Requests on a comm.
  std::uint64_t region = 64 << 20;               // Over all comms.
  std::uint64_t rounds = 20000;                  // Of pingpong.
};

[[noreturn]] void die(const std::string& why) {
  std::fprintf(stderr, "bench_nccl_plugin: %s\n", why.c_str());
  std::exit(1);
}

void check(ResultCode code, const char* what) {
  if (code == ResultCode::kSuccess) return;
  die(std::string(what) + " answers " + std::to_string(static_cast<int>(code)));
}

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    const std::string_view value = argv[i + 1];
    std::uint64_t number = 0;
    std::from_chars(value.data(), value.data() + value.size(), number);
    if (name == "--plugin") {
      arguments.plugin = value;
    } else if (name == "--mode") {
      arguments.pingpong = value == "pingpong";
    } else if (name == "--comms") {
      arguments.comms = std::max<std::uint64_t>(number, 1);
    } else if (name == "--bytes") {
      arguments.bytes = number;
    } else if (name == "--size") {
      arguments.size = number;
    } else if (name == "--window") {
      arguments.window = std::max<std::uint64_t>(number, 1);
    } else if (name == "--rounds") {
      arguments.rounds = std::max<std::uint64_t>(number, 1);
    } else {
      die("bad argument " + std::string(name));
    }
  }
  if (arguments.plugin.empty()) die("--plugin PATH is missing");
  return arguments;
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void tell(int fd, const void* data, std::size_t bytes) {
  if (write(fd, data, bytes) != static_cast<ssize_t>(bytes)) die("the other process is gone");
}
void hear(int fd, void* data, std::size_t bytes) {
  if (recv(fd, data, bytes, MSG_WAITALL) != static_cast<ssize_t>(bytes)) {
    die("the other process is gone");
  }
}

using Handle = std::array<std::byte, nccl_abi::kHandleBytes>;

void* accept_one(const Table& net, int fd) {
  Handle handle{};
  void* listening = nullptr;
  check(net.listen(0, handle.data(), &listening), "listen");
  tell(fd, handle.data(), handle.size());
  void* comm = nullptr;
  nccl_abi::DeviceHandle* none = nullptr;
  while (comm == nullptr) check(net.accept(listening, &comm, &none), "accept");
  net.close_listen(listening);
  return comm;
}

void* connect_one(const Table& net, int fd) {
  Handle handle{};
  hear(fd, handle.data(), handle.size());
  void* comm = nullptr;
  nccl_abi::DeviceHandle* none = nullptr;
  while (comm == nullptr) check(net.connect(0, handle.data(), &comm, &none), "connect");
  return comm;
}

// Null: not now.
void* post(const Table& net, void* comm, bool sending, std::byte* at, std::uint64_t bytes) {
  void* request = nullptr;
  void* data = at;
  int size = static_cast<int>(bytes);
  int tag = 0;
  void* memory = nullptr;
  if (sending) {
    check(net.isend(comm, at, size, tag, memory, &request), "isend");
  } else {
    check(net.irecv(comm, 1, &data, &size, &tag, &memory, &request), "irecv");
  }
  return request;
}

bool done(const Table& net, void* request) {
  int is_done = 0;
  std::array<int, nccl_abi::kTestSizes> sizes{};
  check(net.test(request, &is_done, sizes.data()), "test");
  return is_done == 1;
}

struct Lane {
  void* comm = nullptr;
  std::byte* part = nullptr;
  std::uint64_t offset = 0;
  std::uint64_t to_post = 0;  // messages
  std::deque<void*> requests;
};

struct Spent {
  double wall_seconds;
  double cpu_seconds;
};

Spent bulk_side(const Arguments& arguments, const Table& net, int fd, bool sending) {
  std::vector<std::byte> region(arguments.region, std::byte{1});
  std::vector<Lane> lanes(arguments.comms);
  const std::uint64_t part = std::max(arguments.region / lanes.size(), arguments.size);
  if (part * lanes.size() > region.size()) region.resize(part * lanes.size(), std::byte{1});
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    lanes[i].comm = sending ? connect_one(net, fd) : accept_one(net, fd);
    lanes[i].part = region.data() + i * part;
    lanes[i].to_post = arguments.bytes / lanes.size() / arguments.size;
  }
  char token = 'x';
  tell(fd, &token, 1);
  hear(fd, &token, 1);
  const SystemClock clock;
  const Nanoseconds start = clock.now();
  const double cpu_start = cpu_seconds();
  for (bool busy = true; busy;) {
    busy = false;
    bool moved = false;
    for (Lane& lane : lanes) {
      while (!lane.requests.empty() && done(net, lane.requests.front())) {
        lane.requests.pop_front();
        moved = true;
      }
      while (lane.to_post > 0 && lane.requests.size() < arguments.window) {
        void* request = post(net, lane.comm, sending, lane.part + lane.offset, arguments.size);
        if (request == nullptr) break;
        lane.requests.push_back(request);
        --lane.to_post;
        lane.offset += arguments.size;
        if (lane.offset + arguments.size > part) lane.offset = 0;
        moved = true;
      }
      busy = busy || lane.to_post > 0 || !lane.requests.empty();
    }
    if (!moved) sched_yield();  // As NCCL's progress thread does.
  }
  const Spent spent{static_cast<double>(clock.now() - start) * 1e-9, cpu_seconds() - cpu_start};
  for (Lane& lane : lanes) sending ? net.close_send(lane.comm) : net.close_recv(lane.comm);
  return spent;
}

void run_bulk(const Arguments& arguments, const Table& net, int fd, bool child) {
  const Spent spent = bulk_side(arguments, net, fd, child);
  if (child) return tell(fd, &spent, sizeof(spent));
  Spent peer{};
  hear(fd, &peer, sizeof(peer));
  const auto gbytes = static_cast<double>(arguments.bytes) * 1e-9;
  std::printf("bulk  %llu comms  %llu bytes  %.2f GB/s  %.3f CPU-s/GB\n",
              static_cast<unsigned long long>(arguments.comms),
              static_cast<unsigned long long>(arguments.size), gbytes / spent.wall_seconds,
              (spent.cpu_seconds + peer.cpu_seconds) / gbytes);
}

void run_pingpong(const Arguments& arguments, const Table& net, int fd, bool child) {
  void* out = nullptr;
  void* in = nullptr;
  if (child) {
    out = connect_one(net, fd);
    in = accept_one(net, fd);
  } else {
    in = accept_one(net, fd);
    out = connect_one(net, fd);
  }
  std::vector<std::byte> message(arguments.size, std::byte{1});
  std::vector<double> micros;
  const SystemClock clock;
  for (std::uint64_t round = 0; round < arguments.rounds; ++round) {
    const Nanoseconds start = clock.now();
    for (const bool sending : {!child, child}) {
      void* request = post(net, sending ? out : in, sending, message.data(), message.size());
      while (!done(net, request)) sched_yield();
    }
    micros.push_back(static_cast<double>(clock.now() - start) * 1e-3);
  }
  net.close_send(out);
  net.close_recv(in);
  if (child) return;
  std::sort(micros.begin(), micros.end());
  std::printf("pingpong  %llu bytes  round trip p50 %.1f us  p99 %.1f us\n",
              static_cast<unsigned long long>(arguments.size), micros[micros.size() / 2],
              micros[micros.size() * 99 / 100]);
}

// Without a logger the plugin would log to stderr.
void be_silent(nccl_abi::DebugLevel, unsigned long, const char*, int, const char*, ...) {}

}  // namespace

int main(int argc, char** argv) {
  const Arguments arguments = parse(argc, argv);
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) != 0) die("socketpair");
  const bool child = fork() == 0;
  const int fd = ends[child ? 1 : 0];
  close(ends[child ? 0 : 1]);
  void* library = dlopen(arguments.plugin.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) die(dlerror());
  const auto* net = static_cast<const Table*>(dlsym(library, nccl_abi::v8::kSymbol));
  if (net == nullptr) die("no table of v8");
  check(net->init(be_silent), "init");
  if (arguments.pingpong) {
    run_pingpong(arguments, *net, fd, child);
  } else {
    run_bulk(arguments, *net, fd, child);
  }
  if (!child) wait(nullptr);
  return 0;
}
