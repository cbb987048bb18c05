#include "src/base/dl.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice {
namespace {

using testing::HasSubstr;

TEST(DynamicLibrary, SaysWhichFileItCouldNotOpenAndWhy) {
  const auto library = DynamicLibrary::open("/nowhere/libx.so");
  ASSERT_FALSE(library.ok());
  EXPECT_EQ(library.status().code(), StatusCode::kNotFound);
  EXPECT_THAT(std::string(library.status().message()), HasSubstr("/nowhere/libx.so"));
  EXPECT_THAT(std::string(library.status().message()), HasSubstr("No such file"));
}

TEST(DynamicLibrary, AFileThatIsNoLibraryIsAnError) {
  const auto library = DynamicLibrary::open("/proc/self/status");
  ASSERT_FALSE(library.ok());
  EXPECT_EQ(library.status().code(), StatusCode::kNotFound);
}

TEST(DynamicLibrary, FindsSymbolsAndOnlyThose) {
  auto library = DynamicLibrary::open("libm.so.6");
  ASSERT_TRUE(library.ok()) << library.status().to_string();
  void* cosine = library->symbol("cos");
  ASSERT_NE(cosine, nullptr);
  EXPECT_EQ(library->symbol("ncclNetPlugin_v7"), nullptr);
  EXPECT_THAT(file_of_symbol(cosine), HasSubstr("libm.so.6"));
  const DynamicLibrary moved = library.take();
  EXPECT_EQ(moved.symbol("cos"), cosine);
}

TEST(DynamicLibrary, OpensWhatIsLoadedAndNothingElse) {
  EXPECT_TRUE(DynamicLibrary::open_if_loaded("libc.so.6").ok());
  EXPECT_FALSE(DynamicLibrary::open_if_loaded("libsluice-nobody-loads-this.so").ok());
}

}  // namespace
}  // namespace sluice
