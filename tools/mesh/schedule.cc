#include "tools/mesh/schedule.h"

#include <algorithm>
#include <map>

namespace sluice::mesh {
namespace {

// The engines of one NIC.
struct Nic {
  std::size_t index;  // Among all hosts' NICs.
  std::vector<EngineAt> engines;
};

std::vector<std::vector<Nic>> group(const std::vector<std::vector<std::string>>& nics) {
  std::vector<std::vector<Nic>> hosts(nics.size());
  std::size_t next = 0;
  for (std::uint32_t host = 0; host < nics.size(); ++host) {
    std::map<std::string, std::size_t> places;
    for (std::uint32_t engine = 0; engine < nics[host].size(); ++engine) {
      const auto [place, fresh] = places.try_emplace(nics[host][engine], hosts[host].size());
      if (fresh) hosts[host].push_back({next++, {}});
      hosts[host][place->second].engines.push_back({host, engine});
    }
  }
  return hosts;
}

// Puts each pair into the first round in which both NICs are free.
class Rounds {
 public:
  void add(const Nic& from, const Nic& to, const Pair& pair) {
    std::size_t round = 0;
    while (taken(sends_, from.index, round) || taken(receives_, to.index, round)) ++round;
    take(sends_, from.index, round);
    take(receives_, to.index, round);
    if (rounds.size() <= round) rounds.resize(round + 1);
    rounds[round].push_back(pair);
  }
  std::vector<std::vector<Pair>> rounds;

 private:
  using Taken = std::map<std::size_t, std::vector<bool>>;  // By NIC and round.
  static bool taken(const Taken& by_nic, std::size_t nic, std::size_t round) {
    const auto found = by_nic.find(nic);
    return found != by_nic.end() && round < found->second.size() && found->second[round];
  }
  static void take(Taken& by_nic, std::size_t nic, std::size_t round) {
    std::vector<bool>& rounds_of = by_nic[nic];
    if (rounds_of.size() <= round) rounds_of.resize(round + 1);
    rounds_of[round] = true;
  }
  Taken sends_;
  Taken receives_;
};

template <typename Count>
std::size_t most(const std::vector<std::vector<Nic>>& hosts, Count&& count) {
  std::size_t result = 0;
  for (const auto& host : hosts) result = std::max(result, count(host));
  return result;
}

}  // namespace

// In the order of shifted permutations: host a to host a + shift, its NIC i to that one's NIC i +
// turn, and of these NICs the x-th engine to the y-th. Where hosts are alike, each step of that
// fills a round exactly.
std::vector<std::vector<Pair>> make_schedule(const std::vector<std::vector<std::string>>& nics) {
  const std::vector<std::vector<Nic>> hosts = group(nics);
  const std::size_t turns = most(hosts, [](const auto& host) { return host.size(); });
  const std::size_t engines = most(hosts, [](const auto& host) {
    std::size_t largest = 0;
    for (const Nic& nic : host) largest = std::max(largest, nic.engines.size());
    return largest;
  });
  Rounds rounds;
  const auto add_step = [&](std::size_t shift, std::size_t turn, std::size_t x, std::size_t y) {
    for (std::size_t a = 0; a < hosts.size(); ++a) {
      const std::vector<Nic>& other = hosts[(a + shift) % hosts.size()];
      for (std::size_t i = 0; i < hosts[a].size() && turn < other.size(); ++i) {
        const Nic& from = hosts[a][i];
        const Nic& to = other[(i + turn) % other.size()];
        if (x < from.engines.size() && y < to.engines.size()) {
          rounds.add(from, to, {from.engines[x], to.engines[y]});
        }
      }
    }
  };
  for (std::size_t shift = 1; shift < hosts.size(); ++shift) {
    for (std::size_t turn = 0; turn < turns; ++turn) {
      for (std::size_t xy = 0; xy < engines * engines; ++xy) {
        add_step(shift, turn, xy / engines, xy % engines);
      }
    }
  }
  return std::move(rounds.rounds);
}

}  // namespace sluice::mesh
