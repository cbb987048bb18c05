// Bandwidth against channels as an SVG, drawn by gnuplot.
#pragma once

#include <span>
#include <string>

#include "sluice/status.h"
#include "tools/perf/result.h"

namespace sluice::perf {

// The commands that draw `rows` into `path`: a curve for each size, the channels along x.
[[nodiscard]] std::string plot_script(std::span<const ResultRow> rows, const std::string& title,
                                      const std::string& path);

// kNotFound: no gnuplot on this machine. To be asked before something is measured for a plot.
Status find_gnuplot();

// Runs gnuplot on the script. kSystem has what gnuplot complained of.
Status run_gnuplot(const std::string& script);

}  // namespace sluice::perf
