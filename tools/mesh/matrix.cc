#include "tools/mesh/matrix.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "src/base/check.h"

namespace sluice::mesh {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMostColumns = 16;
constexpr std::size_t kSlowest = 5;
constexpr std::size_t kMostFailures = 20;  // That are told in words.

std::string label(const Matrix& matrix, const EngineAt& at) {
  return fmt::format("{}:{}", at.host, matrix.hosts()[at.host].engines[at.engine]);
}

// "GB/s" of one row and column of what is shown.
std::string shown(const Cell& cell) {
  if (cell.state == Cell::State::kNone) return "-";
  return cell.state == Cell::State::kFailed ? "failed" : fmt::format("{:.2f}", cell.gbytes_per_s);
}

std::string line_of(const std::string& first, const std::vector<std::string>& rest) {
  std::string line = fmt::format("{:>14}", first);
  for (const std::string& one : rest) line += fmt::format(" {:>9}", one);
  return line + "\n";
}

std::string by_engine(const Matrix& matrix) {
  const std::vector<EngineAt> engines = matrix.engines();
  std::vector<std::string> names;
  for (const EngineAt& one : engines) names.push_back(label(matrix, one));
  std::string text = line_of("GB/s from \\ to", names);
  for (std::size_t i = 0; i < engines.size(); ++i) {
    std::vector<std::string> cells;
    for (const EngineAt& to : engines) cells.push_back(shown(matrix.at({engines[i], to})));
    text += line_of(names[i], cells);
  }
  return text;
}

// The mean over the engines of both hosts that were measured.
std::string between(const Matrix& matrix, std::uint32_t from, std::uint32_t to) {
  double sum = 0;
  std::size_t measured = 0;
  bool failed = false;
  for (std::uint32_t a = 0; a < matrix.hosts()[from].engines.size(); ++a) {
    for (std::uint32_t b = 0; b < matrix.hosts()[to].engines.size(); ++b) {
      const Cell& cell = matrix.at({{from, a}, {to, b}});
      failed = failed || cell.state == Cell::State::kFailed;
      if (cell.state != Cell::State::kMeasured) continue;
      sum += cell.gbytes_per_s;
      ++measured;
    }
  }
  if (measured == 0) return failed ? "failed" : "-";
  return fmt::format("{:.2f}{}", sum / static_cast<double>(measured), failed ? "!" : "");
}

std::string by_host(const Matrix& matrix) {
  std::vector<std::string> names;
  for (std::uint32_t i = 0; i < matrix.hosts().size(); ++i) names.push_back(fmt::format("{}", i));
  std::string text = line_of("GB/s from \\ to", names);
  for (std::uint32_t from = 0; from < names.size(); ++from) {
    std::vector<std::string> cells;
    for (std::uint32_t to = 0; to < names.size(); ++to) cells.push_back(between(matrix, from, to));
    text += line_of(names[from], cells);
  }
  return text + "the mean of each two hosts' engines; ! where some of these failed\n";
}

std::vector<Pair> pairs_in(const Matrix& matrix, Cell::State state) {
  std::vector<Pair> pairs;
  const std::vector<EngineAt> engines = matrix.engines();
  for (const EngineAt& from : engines) {
    for (const EngineAt& to : engines) {
      if (matrix.at({from, to}).state == state) pairs.push_back({from, to});
    }
  }
  return pairs;
}

std::string slowest(const Matrix& matrix) {
  std::vector<Pair> pairs = pairs_in(matrix, Cell::State::kMeasured);
  std::stable_sort(pairs.begin(), pairs.end(), [&](const Pair& a, const Pair& b) {
    return matrix.at(a).gbytes_per_s < matrix.at(b).gbytes_per_s;
  });
  std::string text;
  for (std::size_t i = 0; i < std::min(kSlowest, pairs.size()); ++i) {
    const Cell& cell = matrix.at(pairs[i]);
    text += fmt::format("{} {} to {}: {:.2f} GB/s, latency {:.1f} us (p99 {:.1f})\n",
                        i == 0 ? "slowest:" : "        ", label(matrix, pairs[i].from),
                        label(matrix, pairs[i].to), cell.gbytes_per_s, cell.p50_us, cell.p99_us);
  }
  return text;
}

std::string failures(const Matrix& matrix) {
  std::string text;
  for (std::size_t i = 0; i < matrix.hosts().size(); ++i) {
    const MeshHost& host = matrix.hosts()[i];
    if (host.lost.empty()) continue;
    text += host.lost_round == 0
                ? fmt::format("host {} ({}) did not come: {}\n", i, host.host, host.lost)
                : fmt::format("host {} ({}) was lost in round {}: {}\n", i, host.host,
                              host.lost_round, host.lost);
  }
  const std::vector<Pair> pairs = pairs_in(matrix, Cell::State::kFailed);
  for (std::size_t i = 0; i < std::min(kMostFailures, pairs.size()); ++i) {
    text += fmt::format("failed: {} to {}: {}\n", label(matrix, pairs[i].from),
                        label(matrix, pairs[i].to), matrix.at(pairs[i]).why);
  }
  if (pairs.size() > kMostFailures) {
    text += fmt::format("and {} more pairs failed\n", pairs.size() - kMostFailures);
  }
  return text;
}

}  // namespace

Matrix::Matrix(std::vector<MeshHost> hosts) : hosts_(std::move(hosts)) {
  for (const MeshHost& host : hosts_) {
    first_.push_back(count_);
    count_ += host.engines.size();
  }
  cells_.resize(count_ * count_);
}

void Matrix::lose(std::uint32_t host, std::uint32_t round, const std::string& why) {
  if (!hosts_[host].lost.empty()) return;
  hosts_[host].lost = why;
  hosts_[host].lost_round = round;
}

std::size_t Matrix::place(const Pair& pair) const {
  const auto one = [&](const EngineAt& at) {
    SLUICE_CHECK(at.host < hosts_.size() && at.engine < hosts_[at.host].engines.size(), "{} {}",
                 at.host, at.engine);
    return first_[at.host] + at.engine;
  };
  return one(pair.from) * count_ + one(pair.to);
}

Cell& Matrix::at(const Pair& pair) { return cells_[place(pair)]; }
const Cell& Matrix::at(const Pair& pair) const { return cells_[place(pair)]; }

std::vector<EngineAt> Matrix::engines() const {
  std::vector<EngineAt> result;
  for (std::uint32_t host = 0; host < hosts_.size(); ++host) {
    for (std::uint32_t engine = 0; engine < hosts_[host].engines.size(); ++engine) {
      result.push_back({host, engine});
    }
  }
  return result;
}

bool Matrix::whole() const {
  return pairs_in(*this, Cell::State::kFailed).empty() &&
         std::all_of(hosts_.begin(), hosts_.end(),
                     [](const MeshHost& host) { return host.lost.empty(); });
}

std::string matrix_text(const Matrix& matrix) {
  const bool few = matrix.engines().size() <= kMostColumns;
  return (few ? by_engine(matrix) : by_host(matrix)) + slowest(matrix) + failures(matrix);
}

std::string matrix_json(const Matrix& matrix, std::size_t rounds) {
  Json document{{"hosts", Json::array()}, {"rounds", rounds}, {"pairs", Json::array()}};
  for (const MeshHost& host : matrix.hosts()) {
    Json lost;  // null: it was there to the end
    if (!host.lost.empty()) lost = {{"round", host.lost_round}, {"why", host.lost}};
    document["hosts"].push_back({{"host", host.host}, {"engines", host.engines}, {"lost", lost}});
  }
  const std::vector<EngineAt> engines = matrix.engines();
  for (const EngineAt& from : engines) {
    for (const EngineAt& to : engines) {
      const Cell& cell = matrix.at({from, to});
      if (cell.state == Cell::State::kNone) continue;
      const bool measured = cell.state == Cell::State::kMeasured;
      const auto figure = [&](double value) { return measured ? Json(value) : Json(); };
      document["pairs"].push_back({{"from", {from.host, from.engine}},
                                   {"to", {to.host, to.engine}},
                                   {"gbytes_per_s", figure(cell.gbytes_per_s)},
                                   {"p50_us", figure(cell.p50_us)},
                                   {"p99_us", figure(cell.p99_us)},
                                   {"why", measured ? Json() : Json(cell.why)}});
    }
  }
  return document.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

perf::Plot heat_map(const Matrix& matrix, const std::string& title) {
  const std::vector<EngineAt> engines = matrix.engines();
  const std::size_t side = std::clamp<std::size_t>(engines.size() * 24, 360, 2400);
  std::string script = fmt::format(
      "set title {} noenhanced\nset xlabel 'to'\nset ylabel 'from'\n"
      "set cblabel 'GB/s (1e9 bytes per second)'\nset cbrange [0:*]\nset palette defined "
      "(0 '#b2182b', 1 '#fddbc7', 2 '#d1e5f0', 3 '#2166ac')\nset tics noenhanced\n"
      "set xrange [-0.5:{}.5]\nset yrange [{}.5:-0.5]\nset xtics rotate\nset size ratio 1\n",
      perf::gnuplot_text(title), engines.size() - 1, engines.size() - 1);
  std::string tics;
  for (std::size_t i = 0; i < engines.size(); ++i) {
    tics += fmt::format("{}{} {}", i == 0 ? "" : ", ",
                        perf::gnuplot_text(label(matrix, engines[i])), i);
  }
  script += fmt::format("set xtics ({})\nset ytics ({})\n$mesh << end_of_data\n", tics, tics);
  for (const EngineAt& from : engines) {
    for (const EngineAt& to : engines) {
      const Cell& cell = matrix.at({from, to});
      script +=
          cell.state == Cell::State::kMeasured ? fmt::format("{:.4f} ", cell.gbytes_per_s) : "NaN ";
    }
    script += "\n";
  }
  script += "end_of_data\nplot $mesh matrix with image pixels notitle\n";
  return {side + 200, side + 120, script};
}

}  // namespace sluice::mesh
