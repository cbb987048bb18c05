#include "src/engine/region_export.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

constexpr RegionId kRegion{3};

TEST(RegionExport, SaysWhatWasExportedAndNothingElse) {
  RegionExports exports;
  const RegionExport made{17, 4096, Memory::kCuda, exports.make(kRegion, Access::kWrite)};
  const std::string bytes = made.to_bytes();
  const auto parsed = RegionExport::parse(bytes);
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->generation, 17u);
  EXPECT_EQ(parsed->length, 4096u);
  EXPECT_EQ(parsed->kind, Memory::kCuda);
  EXPECT_EQ(parsed->ref.region, 3u);
  EXPECT_TRUE(exports.made(parsed->ref));
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_FALSE(RegionExport::parse(bytes.substr(0, length)).ok()) << length;
  }
  EXPECT_FALSE(RegionExport::parse(bytes + "x").ok());
}

TEST(RegionExport, NoBitOfItsRightsAndProofCanBeAltered) {
  RegionExports exports;
  const wire::RegionRef made = exports.make(kRegion, Access::kRead);
  for (std::size_t bit = 0; bit < 8 * made.proof.size(); ++bit) {
    wire::RegionRef altered = made;
    altered.proof.at(bit / 8) ^= std::byte{1} << bit % 8;
    EXPECT_FALSE(exports.made(altered)) << "bit " << bit;
  }
  exports.make(kRegion, Access::kWrite);
  for (unsigned access = 0; access < 256; ++access) {
    wire::RegionRef altered = made;
    altered.access = static_cast<std::uint8_t>(access);
    EXPECT_EQ(exports.made(altered), altered.access == made.access) << access;
  }
}

TEST(RegionExport, NoTwoRegionsHaveTheSameProof) {
  RegionExports one;
  RegionExports other;  // It may have the same id, in another engine or after a restart.
  const wire::RegionRef made = one.make(kRegion, Access::kRead);
  EXPECT_NE(other.make(kRegion, Access::kRead).proof, made.proof);
  EXPECT_NE(one.make(kRegion, Access::kWrite).proof, made.proof);
  EXPECT_FALSE(other.made(made));
}

TEST(RegionExport, WhatWasNotExportedHasNoProof) {
  RegionExports exports;
  const RegionExports never;
  EXPECT_FALSE(never.made({3, 2, {}}));
  const wire::RegionRef reads = exports.make(kRegion, Access::kRead);
  EXPECT_FALSE(exports.made({3, static_cast<std::uint8_t>(Access::kWrite), reads.proof}));
  EXPECT_FALSE(never.made(reads));
  EXPECT_EQ(exports.make(kRegion, Access::kRead).proof, reads.proof);
}

}  // namespace
}  // namespace sluice
