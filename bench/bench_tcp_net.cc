// What two processes move through the tcp Net alone, by the calls of its contract and with no
// engine above: to be compared with raw_socket, which takes the same options.
//
//   bench_tcp_net --connections 2 --bytes 8589934592
//   bench_tcp_net --mode pingpong --size 65536
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/clock.h"
#include "src/base/log.h"
#include "src/net/tcp/tcp_net.h"

namespace {

using namespace sluice;

struct Arguments {
  std::uint64_t connections = 2;
  std::uint64_t bytes = std::uint64_t{8} << 30;  // Over all connections.
  std::uint64_t size = 0;                        // Of a chunk; 0: 512 KiB, or 8 of a pingpong.
  std::uint64_t region = 64 << 20;               // Over all connections.
  std::uint64_t rounds = 20000;                  // Of pingpong.
  bool pingpong = false;
  bool json = false;
  bool sleep = false;  // A pingpong that arms and sleeps instead of polling.
  bool verbose = false;
  TcpNetOptions net;
};

[[noreturn]] void die(const std::string& why) {
  std::fprintf(stderr, "bench_tcp_net: %s\n", why.c_str());
  std::exit(1);
}

std::uint64_t number(const std::string& name, std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) die("bad value of " + name);
  return value;
}

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--json") {
      arguments.json = true;
    } else if (name == "--sleep") {
      arguments.sleep = true;
    } else if (name == "--verbose") {
      arguments.verbose = true;
    } else if (i + 1 == argc) {
      die("bad argument " + name);
    } else if (const std::string value = argv[++i]; name == "--mode") {
      if (value != "bulk" && value != "pingpong") die("--mode is bulk or pingpong");
      arguments.pingpong = value == "pingpong";
    } else if (name == "--congestion") {
      arguments.net.congestion_control = value;
    } else if (name == "--connections") {
      arguments.connections = std::max<std::uint64_t>(number(name, value), 1);
    } else if (name == "--bytes") {
      arguments.bytes = number(name, value);
    } else if (name == "--size") {
      arguments.size = number(name, value);
    } else if (name == "--region") {
      arguments.region = number(name, value);
    } else if (name == "--rounds") {
      arguments.rounds = std::max<std::uint64_t>(number(name, value), 1);
    } else if (name == "--window") {
      arguments.net.window = static_cast<std::uint32_t>(number(name, value));
    } else if (name == "--rcvbuf") {
      arguments.net.receive_buffer_bytes = number(name, value);
    } else if (name == "--spin-us") {
      arguments.net.spin_us = static_cast<std::uint32_t>(number(name, value));
    } else if (name == "--inline-bytes") {
      arguments.net.inline_bytes = number(name, value);
    } else {
      die("bad argument " + name);
    }
  }
  if (arguments.pingpong) arguments.connections = 1;
  if (arguments.size == 0) arguments.size = arguments.pingpong ? 8 : 512 << 10;
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

// Handles, and a start signal, between the two processes.
void tell(int fd, const void* data, std::size_t bytes) {
  if (write(fd, data, bytes) != static_cast<ssize_t>(bytes)) die("the other process is gone");
}
void hear(int fd, void* data, std::size_t bytes) {
  if (recv(fd, data, bytes, MSG_WAITALL) != static_cast<ssize_t>(bytes)) {
    die("the other process is gone");
  }
}
void meet(int fd) {
  char token = 'x';
  tell(fd, &token, 1);
  hear(fd, &token, 1);
}

struct HandleBytes {
  std::size_t size;
  std::byte bytes[Net::kHandleBytes];
};

std::unique_ptr<RecvChannel> accept_one(TcpNet& net, int fd) {
  auto listener = net.listen(0, "127.0.0.1");
  if (!listener.ok()) die(listener.status().to_string());
  HandleBytes handle{};
  handle.size = (*listener)->handle().size();
  std::memcpy(handle.bytes, (*listener)->handle().data(), handle.size);
  tell(fd, &handle, sizeof(handle));
  std::unique_ptr<RecvChannel> channel;
  Status failure;
  for (;;) {
    net.progress();
    const MakeAnswer answer = (*listener)->accept(channel, failure);
    if (answer == MakeAnswer::kMade) return channel;
    if (answer == MakeAnswer::kFailed) die(failure.to_string());
  }
}

std::unique_ptr<SendChannel> connect_one(TcpNet& net, int fd) {
  HandleBytes handle{};
  hear(fd, &handle, sizeof(handle));
  auto connector = net.connect(0, {handle.bytes, handle.size});
  if (!connector.ok()) die(connector.status().to_string());
  std::unique_ptr<SendChannel> channel;
  Status failure;
  for (;;) {
    const MakeAnswer answer = (*connector)->connect(channel, failure);
    if (answer == MakeAnswer::kMade) return channel;
    if (answer == MakeAnswer::kFailed) die(failure.to_string());
  }
}

// The two kinds of channel behind one face.
PostAnswer post(SendChannel& channel, std::byte* at, std::uint64_t bytes, NetMemory& memory) {
  return channel.post(at, bytes, memory);
}
PostAnswer post(RecvChannel& channel, std::byte* at, std::uint64_t bytes, NetMemory& memory) {
  return channel.post(at, bytes, memory);
}
TestAnswer test(SendChannel& channel) { return channel.test_oldest(); }
TestAnswer test(RecvChannel& channel) {
  Arrival arrival;
  const TestAnswer answer = channel.test_oldest(arrival);
  if (answer == TestAnswer::kDone) channel.consume_oldest();
  return answer;
}

// Sleeps as the engine does: arms, looks once more, and only then waits.
template <typename Pass>
void sleep_until(TcpNet& net, Pass pass) {
  net.arm();
  if (!pass()) {
    pollfd wake{net.wake_fd(), POLLIN, 0};
    poll(&wake, 1, -1);
  }
  net.disarm();
}

template <typename Channel>
struct Lane {
  std::unique_ptr<Channel> channel;
  std::byte* part = nullptr;
  std::uint64_t part_bytes = 0;
  std::uint64_t offset = 0;
  std::uint64_t to_post = 0;
  std::uint64_t in_flight = 0;
};

// One step of a lane: reports what is done, posts what fits. True if there was anything.
template <typename Channel>
bool step(Lane<Channel>& lane, std::uint64_t chunk, NetMemory& memory) {
  bool moved = false;
  while (lane.in_flight > 0) {
    const TestAnswer answer = test(*lane.channel);
    if (answer == TestAnswer::kFailed) die(lane.channel->failure().to_string());
    if (answer == TestAnswer::kPending) break;
    --lane.in_flight;
    moved = true;
  }
  while (lane.to_post > 0) {
    const std::uint64_t bytes = std::min({chunk, lane.part_bytes - lane.offset, lane.to_post});
    const PostAnswer answer = post(*lane.channel, lane.part + lane.offset, bytes, memory);
    if (answer == PostAnswer::kFailed) die(lane.channel->failure().to_string());
    if (answer == PostAnswer::kBusy) break;
    lane.to_post -= bytes;
    lane.offset = (lane.offset + bytes) % lane.part_bytes;
    ++lane.in_flight;
    moved = true;
  }
  return moved;
}

template <typename Channel>
void pump(TcpNet& net, std::vector<Lane<Channel>>& lanes, std::uint64_t chunk, NetMemory& memory) {
  const auto pass = [&] {
    bool moved = false;
    for (auto& lane : lanes) moved = step(lane, chunk, memory) || moved;
    return moved;
  };
  const auto finished = [&] {
    return std::all_of(lanes.begin(), lanes.end(), [](const Lane<Channel>& lane) {
      return lane.to_post == 0 && lane.in_flight == 0;
    });
  };
  while (!finished()) {
    if (pass()) continue;
    sleep_until(net, pass);
  }
}

struct Spent {
  double wall_seconds;
  double cpu_seconds;
};

template <typename Channel, typename Make>
Spent bulk_side(const Arguments& arguments, TcpNet& net, int fd, std::byte* region, Make make) {
  std::vector<Lane<Channel>> lanes(arguments.connections);
  const std::uint64_t part = std::max<std::uint64_t>(arguments.region / lanes.size(), 1);
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    lanes[i].channel = make(net, fd);
    lanes[i].part = region + i * part;
    lanes[i].part_bytes = part;
    lanes[i].to_post = arguments.bytes / lanes.size();
  }
  auto memory = net.register_memory({region, arguments.region}, Memory::kHost);
  if (!memory.ok()) die(memory.status().to_string());
  meet(fd);
  const SystemClock clock;
  const Nanoseconds start = clock.now();
  const double cpu_start = cpu_seconds();
  pump(net, lanes, arguments.size, **memory);
  return {static_cast<double>(clock.now() - start) * 1e-9, cpu_seconds() - cpu_start};
}

void run_bulk(const Arguments& arguments, TcpNet& net, int fd, bool child) {
  auto* region = static_cast<std::byte*>(
      mmap(nullptr, arguments.region, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (region == MAP_FAILED) die("mmap");
  std::memset(region, 1, arguments.region);
  if (child) {
    const Spent spent = bulk_side<SendChannel>(arguments, net, fd, region, connect_one);
    tell(fd, &spent, sizeof(spent));
    return;
  }
  const Spent spent = bulk_side<RecvChannel>(arguments, net, fd, region, accept_one);
  Spent peer{};
  hear(fd, &peer, sizeof(peer));
  const double gbytes =
      static_cast<double>(arguments.bytes / arguments.connections * arguments.connections) * 1e-9;
  std::printf(arguments.json ? "{\"mode\": \"bulk\", \"connections\": %llu, \"size_bytes\": %llu, "
                               "\"gbytes_per_s\": %.4f, \"cpu_s_per_gb\": %.4f}\n"
                             : "bulk  %llu connections  %llu bytes  %.2f GB/s  %.3f CPU-s/GB\n",
              static_cast<unsigned long long>(arguments.connections),
              static_cast<unsigned long long>(arguments.size), gbytes / spent.wall_seconds,
              (spent.cpu_seconds + peer.cpu_seconds) / gbytes);
}

template <typename Channel>
void finish_one(const Arguments& arguments, TcpNet& net, Channel& channel) {
  TestAnswer answer = TestAnswer::kPending;
  const auto pass = [&] {
    if (answer == TestAnswer::kPending) answer = test(channel);
    return answer != TestAnswer::kPending;
  };
  while (!pass()) {
    if (arguments.sleep) {
      sleep_until(net, pass);
    } else {
      sched_yield();
    }
  }
  if (answer == TestAnswer::kFailed) die(channel.failure().to_string());
}

void run_pingpong(const Arguments& arguments, TcpNet& net, int fd, bool child) {
  std::unique_ptr<SendChannel> out;
  std::unique_ptr<RecvChannel> in;
  if (child) {
    out = connect_one(net, fd);
    in = accept_one(net, fd);
  } else {
    in = accept_one(net, fd);
    out = connect_one(net, fd);
  }
  std::vector<std::byte> message(arguments.size, std::byte{1});
  auto memory = net.register_memory(message, Memory::kHost);
  if (!memory.ok()) die(memory.status().to_string());
  const std::uint64_t warm_up = arguments.rounds / 10 + 1;
  std::vector<double> micros;
  micros.reserve(arguments.rounds);
  const SystemClock clock;
  meet(fd);
  for (std::uint64_t round = 0; round < arguments.rounds + warm_up; ++round) {
    const Nanoseconds start = clock.now();
    for (const bool sending : {!child, child}) {
      if (sending) {
        if (out->post(message.data(), message.size(), **memory) != PostAnswer::kPosted) {
          die(out->failure().to_string());
        }
        finish_one(arguments, net, *out);
      } else {
        if (in->post(message.data(), message.size(), **memory) != PostAnswer::kPosted) {
          die(in->failure().to_string());
        }
        finish_one(arguments, net, *in);
      }
    }
    if (round >= warm_up) micros.push_back(static_cast<double>(clock.now() - start) * 1e-3);
  }
  if (child) return;
  std::sort(micros.begin(), micros.end());
  std::printf(arguments.json ? "{\"mode\": \"pingpong\", \"size_bytes\": %llu, \"p50_us\": %.3f, "
                               "\"p99_us\": %.3f}\n"
                             : "pingpong  %llu bytes  p50 %.2f us  p99 %.2f us round trip\n",
              static_cast<unsigned long long>(arguments.size), micros[micros.size() / 2],
              micros[micros.size() * 99 / 100]);
}

}  // namespace

int main(int argc, char** argv) {
  const Arguments arguments = parse(argc, argv);
  if (arguments.verbose) set_log_level(LogLevel::kInfo);
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) die("socketpair");
  const pid_t pid = fork();
  if (pid < 0) die("fork");
  const bool child = pid == 0;
  close(ends[child ? 0 : 1]);
  const int fd = ends[child ? 1 : 0];
  const SystemClock clock;
  auto net = TcpNet::create(arguments.net, clock);
  if (!net.ok()) die(net.status().to_string());
  if (arguments.pingpong) {
    run_pingpong(arguments, **net, fd, child);
  } else {
    run_bulk(arguments, **net, fd, child);
  }
  if (child) return 0;
  int status = 0;
  waitpid(pid, &status, 0);
  return status == 0 ? 0 : 1;
}
