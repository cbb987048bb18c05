// Plots as SVG, drawn by gnuplot; bandwidth against channels.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "sluice/status.h"
#include "tools/perf/result.h"

namespace sluice::perf {

struct Plot {
  std::size_t width;  // In pixels.
  std::size_t height;
  std::string commands;  // For gnuplot, whose terminal and output are set before.
};

// `text` as gnuplot takes it literally.
[[nodiscard]] std::string gnuplot_text(const std::string& text);

// A curve for each size of `rows`, the channels along x.
[[nodiscard]] Plot bandwidth_plot(std::span<const ResultRow> rows, const std::string& title);

// kNotFound: draw() needs gnuplot for `path`, and there is none on this machine. To be asked before
// something is measured for a plot.
Status can_draw(const std::string& path);

// Draws into the SVG `path`. One that ends in ".gnuplot" gets the commands instead, for a machine
// that has gnuplot: there they draw an SVG of the same name into the folder where it is called.
// kSystem has what gnuplot complained of.
Status draw(const Plot& plot, const std::string& path);

}  // namespace sluice::perf
