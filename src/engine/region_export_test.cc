#include "src/engine/region_export.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(RegionExport, SaysWhatWasExportedAndNothingElse) {
  const RegionSeal seal(17);
  const RegionExport made{17, 4096, Memory::kCuda,
                          seal.seal(RegionId(3), 4096, Memory::kCuda, Access::kWrite)};
  const std::string bytes = made.to_bytes();
  const auto parsed = RegionExport::parse(bytes);
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->generation, 17u);
  EXPECT_EQ(parsed->length, 4096u);
  EXPECT_EQ(parsed->kind, Memory::kCuda);
  EXPECT_TRUE(seal.made(parsed->ref, 4096, Memory::kCuda));
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_FALSE(RegionExport::parse(bytes.substr(0, length)).ok()) << length;
  }
  EXPECT_FALSE(RegionExport::parse(bytes + "x").ok());
}

TEST(RegionExport, NoBitOfItCanBeAltered) {
  const RegionSeal seal(17);
  const RegionExport made{17, 4096, Memory::kHost,
                          seal.seal(RegionId(3), 4096, Memory::kHost, Access::kRead)};
  const std::string bytes = made.to_bytes();
  constexpr std::size_t kNotProven = 4 + 8 + 8 + 1;  // Known to the target anyway, or not needed.
  for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    std::string altered = bytes;
    altered[bit / 8] = static_cast<char>(altered[bit / 8] ^ (1 << bit % 8));
    const auto parsed = RegionExport::parse(altered);
    if (!parsed.ok() || bit / 8 < kNotProven) continue;
    EXPECT_FALSE(seal.made(parsed->ref, 4096, Memory::kHost)) << "bit " << bit;
  }
  const RegionSeal after_restart(17);
  EXPECT_FALSE(after_restart.made(made.ref, 4096, Memory::kHost));
  EXPECT_FALSE(seal.made(made.ref, 4097, Memory::kHost));
  EXPECT_FALSE(seal.made(made.ref, 4096, Memory::kCuda));
}

}  // namespace
}  // namespace sluice
