// What a mesh has measured: a cell for every engine as sender and every engine as receiver.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/mesh/schedule.h"
#include "tools/perf/plot.h"

namespace sluice::mesh {

struct Cell {
  enum class State : std::uint8_t { kNone, kMeasured, kFailed };
  State state = State::kNone;  // kNone: of one host, or nobody is there.
  double gbytes_per_s = 0;     // 1e9 bytes per second.
  double p50_us = 0;           // One way: half of a round trip.
  double p99_us = 0;
  std::string why{};  // kFailed.
};

struct MeshHost {
  std::string host{};                  // As in the file of hosts.
  std::vector<std::string> engines{};  // Names; empty: it never came.
  std::string lost{};                  // Why it did not take part to the end; "" if it did.
  std::uint32_t lost_round = 0;        // From 1; 0: before the first.
};

class Matrix {
 public:
  explicit Matrix(std::vector<MeshHost> hosts);

  [[nodiscard]] const std::vector<MeshHost>& hosts() const { return hosts_; }
  void lose(std::uint32_t host, std::uint32_t round, const std::string& why);
  [[nodiscard]] Cell& at(const Pair& pair);
  [[nodiscard]] const Cell& at(const Pair& pair) const;
  [[nodiscard]] std::vector<EngineAt> engines() const;
  // Every pair was measured and no host was lost.
  [[nodiscard]] bool whole() const;

 private:
  [[nodiscard]] std::size_t place(const Pair& pair) const;

  std::vector<MeshHost> hosts_;
  std::vector<std::size_t> first_;  // Of each host's engines, among all.
  std::size_t count_ = 0;
  std::vector<Cell> cells_;
};

// A table of GB/s, by engine, or where those are many the mean by host; the slowest pairs, who
// failed and why.
[[nodiscard]] std::string matrix_text(const Matrix& matrix);
// docs/mesh.md has its fields.
[[nodiscard]] std::string matrix_json(const Matrix& matrix, std::size_t rounds);
// GB/s as a heat map.
[[nodiscard]] perf::Plot heat_map(const Matrix& matrix, const std::string& title);

}  // namespace sluice::mesh
