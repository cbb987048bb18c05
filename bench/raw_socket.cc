// The yardstick: what two processes move over plain sockets with nothing in between. Blocking
// send() and recv() in one thread per connection and side, over a cycling region that is touched
// before; or, with --mode pingpong, a busy-polling round trip. Links nothing of sluice, on purpose.
//
//   raw_socket --connections 2 --bytes 8589934592 --rcvbuf 786432
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

struct Arguments {
  std::uint64_t connections = 2;
  std::uint64_t bytes = std::uint64_t{8} << 30;  // Over all connections.
  std::uint64_t size = 0;  // Of one send() or recv(), or of a message; 0: 512 KiB, or 8 bytes.
  // Over all connections; of pingpong, what its messages lie in one behind the other. 0: 64 MiB, or
  // one message.
  std::uint64_t region = 0;
  std::uint64_t rcvbuf = 0;         // 0: the kernel's own choice.
  std::uint64_t rounds = 20000;     // Of pingpong.
  std::string congestion = "reno";  // "" leaves the system's.
  std::string mode = "bulk";
  bool json = false;
};

// What the receiving process tells the other one, in memory that both see.
struct Report {
  double cpu_seconds;
};

[[noreturn]] void die(const char* what) {
  std::fprintf(stderr, "raw_socket: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

[[noreturn]] void usage(std::string_view wrong) {
  std::fprintf(stderr,
               "raw_socket: bad argument '%.*s'\n"
               "usage: raw_socket [--mode bulk|pingpong] [--connections N] [--bytes N] [--size N]\n"
               "                  [--region N] [--congestion NAME|system] [--rcvbuf N] [--rounds N]"
               " [--json]\n",
               static_cast<int>(wrong.size()), wrong.data());
  std::exit(2);
}

std::uint64_t number(std::string_view name, std::string_view text, std::uint64_t least) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least) usage(name);
  return value;
}

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--json") {
      arguments.json = true;
      continue;
    }
    if (i + 1 == argc) usage(name);
    const std::string_view value = argv[++i];
    if (name == "--connections") {
      arguments.connections = number(name, value, 1);
    } else if (name == "--bytes") {
      arguments.bytes = number(name, value, 1);
    } else if (name == "--size") {
      arguments.size = number(name, value, 1);
    } else if (name == "--region") {
      arguments.region = number(name, value, 1);
    } else if (name == "--rcvbuf") {
      arguments.rcvbuf = number(name, value, 0);
    } else if (name == "--rounds") {
      arguments.rounds = number(name, value, 1);
    } else if (name == "--congestion") {
      arguments.congestion = value == "system" ? "" : value;
    } else if (name == "--mode" && (value == "bulk" || value == "pingpong")) {
      arguments.mode = value;
    } else {
      usage(name);
    }
  }
  const bool pingpong = arguments.mode == "pingpong";
  if (pingpong) arguments.connections = 1;
  if (arguments.size == 0) arguments.size = pingpong ? 8 : 512 << 10;
  if (arguments.region == 0) arguments.region = pingpong ? arguments.size : 64 << 20;
  if (pingpong && arguments.region < arguments.size) usage("--region");
  return arguments;
}

double seconds_now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

int make_socket(const Arguments& arguments) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  if (!arguments.congestion.empty() &&
      setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, arguments.congestion.data(),
                 static_cast<socklen_t>(arguments.congestion.size())) != 0) {
    die("TCP_CONGESTION");
  }
  const int rcvbuf = static_cast<int>(arguments.rcvbuf);
  if (rcvbuf != 0 && setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf)) != 0) {
    die("SO_RCVBUF");
  }
  return fd;
}

// All connections, made through one listening socket. In the child: the connecting ends.
std::vector<int> connect_all(const Arguments& arguments, int listening, bool child) {
  sockaddr_in address{};
  socklen_t length = sizeof(address);
  if (getsockname(listening, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    die("getsockname");
  }
  std::vector<int> fds;
  for (std::uint64_t i = 0; i < arguments.connections; ++i) {
    int fd = -1;
    if (child) {
      fd = make_socket(arguments);
      if (connect(fd, reinterpret_cast<sockaddr*>(&address), length) != 0) die("connect");
    } else {
      fd = accept4(listening, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) die("accept");
    }
    fds.push_back(fd);
  }
  return fds;
}

// Moves `bytes` through `fd`, `size` at a time, cycling over the part of the region of this thread.
template <typename Call>
void pump(Call call, int fd, std::byte* part, std::uint64_t part_bytes, std::uint64_t bytes,
          std::uint64_t size) {
  std::uint64_t offset = 0;
  while (bytes > 0) {
    const std::uint64_t want = std::min({size, part_bytes - offset, bytes});
    std::uint64_t got = 0;
    while (got < want) {
      const ssize_t moved = call(fd, part + offset + got, want - got);
      if (moved == 0) {
        errno = ECONNRESET;
        die("end of stream");
      }
      if (moved < 0) {
        if (errno == EINTR) continue;
        die("send or recv");
      }
      got += static_cast<std::uint64_t>(moved);
    }
    bytes -= want;
    offset = (offset + want) % part_bytes;
  }
}

void bulk_side(const Arguments& arguments, const std::vector<int>& fds, std::byte* region,
               bool sender) {
  const std::uint64_t part = std::max<std::uint64_t>(arguments.region / fds.size(), 1);
  const std::uint64_t share = arguments.bytes / fds.size();
  const auto send_call = [](int fd, std::byte* at, std::uint64_t bytes) {
    return send(fd, at, bytes, MSG_NOSIGNAL);
  };
  const auto recv_call = [](int fd, std::byte* at, std::uint64_t bytes) {
    return recv(fd, at, bytes, 0);
  };
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < fds.size(); ++i) {
    threads.emplace_back([&, i] {
      if (sender) {
        pump(send_call, fds[i], region + i * part, part, share, arguments.size);
      } else {
        pump(recv_call, fds[i], region + i * part, part, share, arguments.size);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// Tells the other process that this one is ready, and waits for it.
void meet(int fd) {
  char token = 'x';
  if (send(fd, &token, 1, MSG_NOSIGNAL) != 1 || recv(fd, &token, 1, MSG_WAITALL) != 1) {
    die("meet");
  }
}

void run_bulk(const Arguments& arguments, int listening, Report* report) {
  auto* region = static_cast<std::byte*>(
      mmap(nullptr, arguments.region, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (region == MAP_FAILED) die("mmap");
  const pid_t child = fork();
  if (child < 0) die("fork");
  std::memset(region, 1, arguments.region);
  const std::vector<int> fds = connect_all(arguments, listening, child == 0);
  meet(fds[0]);
  const double start = seconds_now();
  const double cpu_start = cpu_seconds();
  bulk_side(arguments, fds, region, child == 0);
  if (child == 0) {
    report->cpu_seconds = cpu_seconds() - cpu_start;
    std::_Exit(0);
  }
  const double wall = seconds_now() - start;
  double cpu = cpu_seconds() - cpu_start;
  int status = 0;
  waitpid(child, &status, 0);
  if (status != 0) std::exit(1);
  cpu += report->cpu_seconds;
  const double gbytes = static_cast<double>(arguments.bytes / fds.size() * fds.size()) * 1e-9;
  if (arguments.json) {
    std::printf(
        "{\"mode\": \"bulk\", \"connections\": %zu, \"size_bytes\": %llu, "
        "\"gbytes_per_s\": %.4f, \"cpu_s_per_gb\": %.4f}\n",
        fds.size(), static_cast<unsigned long long>(arguments.size), gbytes / wall, cpu / gbytes);
  } else {
    std::printf("bulk  %zu connections  %.2f GB/s  %.3f CPU-s/GB\n", fds.size(), gbytes / wall,
                cpu / gbytes);
  }
}

template <typename Call>
void poll_through(Call call, int fd, std::byte* at, std::uint64_t bytes) {
  while (bytes > 0) {
    const ssize_t moved = call(fd, at, bytes);
    if (moved > 0) {
      at += moved;
      bytes -= static_cast<std::uint64_t>(moved);
    } else if (moved == 0 || (errno != EAGAIN && errno != EINTR)) {
      die("pingpong");
    }
  }
}

void send_message(int fd, std::span<std::byte> message) {
  poll_through([](int s, std::byte* at, std::uint64_t n) { return send(s, at, n, MSG_NOSIGNAL); },
               fd, message.data(), message.size());
}

void receive_message(int fd, std::span<std::byte> message) {
  poll_through([](int s, std::byte* at, std::uint64_t n) { return recv(s, at, n, 0); }, fd,
               message.data(), message.size());
}

void run_pingpong(const Arguments& arguments, int listening) {
  const pid_t child = fork();
  if (child < 0) die("fork");
  const int fd = connect_all(arguments, listening, child == 0)[0];
  meet(fd);
  fcntl(fd, F_SETFL, O_NONBLOCK);
  std::vector<std::byte> region(arguments.region, std::byte{1});
  const std::uint64_t places = arguments.region / arguments.size;
  const std::uint64_t warm_up = arguments.rounds / 10 + 1;
  std::vector<double> micros;
  micros.reserve(arguments.rounds);
  for (std::uint64_t round = 0; round < arguments.rounds + warm_up; ++round) {
    const auto message = std::span(region).subspan(round % places * arguments.size, arguments.size);
    if (child == 0) {
      receive_message(fd, message);
      send_message(fd, message);
      continue;
    }
    const double start = seconds_now();
    send_message(fd, message);
    receive_message(fd, message);
    if (round >= warm_up) micros.push_back((seconds_now() - start) * 1e6);
  }
  if (child == 0) std::_Exit(0);
  waitpid(child, nullptr, 0);
  std::sort(micros.begin(), micros.end());
  const double p50 = micros[micros.size() / 2];
  const double p99 = micros[micros.size() * 99 / 100];
  std::printf(arguments.json ? "{\"mode\": \"pingpong\", \"size_bytes\": %llu, \"p50_us\": %.3f, "
                               "\"p99_us\": %.3f}\n"
                             : "pingpong  %llu bytes  p50 %.2f us  p99 %.2f us round trip\n",
              static_cast<unsigned long long>(arguments.size), p50, p99);
}

}  // namespace

int main(int argc, char** argv) {
  const Arguments arguments = parse(argc, argv);
  auto* report = static_cast<Report*>(
      mmap(nullptr, sizeof(Report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  if (report == MAP_FAILED) die("mmap");
  const int listening = make_socket(arguments);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(listening, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
      listen(listening, 64) != 0) {
    die("listen");
  }
  if (arguments.mode == "pingpong") {
    run_pingpong(arguments, listening);
  } else {
    run_bulk(arguments, listening, report);
  }
  return 0;
}
