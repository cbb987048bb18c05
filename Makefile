# What a newcomer types. Everything here is a thin name for a CMake preset or a script.

PREFIX ?= /usr/local
DESTDIR ?=
JOBS ?= $(shell nproc)
sources = $(shell git ls-files '*.h' '*.cc')

.PHONY: help deps build demo test bench format tidy install clean

help:
	@echo 'make demo     install what is needed, build, and measure two processes on loopback'
	@echo 'make test     install what is needed, build, and run the tests'
	@echo 'make bench    measure sluice side by side with iperf3 and a raw socket program'
	@echo 'make install  install the library, its headers and the command (PREFIX=/usr/local DESTDIR=)'
	@echo 'make format   bring every source file into the project'"'"'s format (clang-format 14)'
	@echo 'make tidy     clang-tidy over the sources (clang-tidy 14; many minutes)'
	@echo 'make clean    remove the build folders'

deps:
	@scripts/install-deps.sh

# The progress of the compiler is for a terminal; into a file go only its complaints.
build: deps
	@mkdir -p build
	@cmake --preset release >build/configure.log 2>&1 || { cat build/configure.log; exit 1; }
	@if [ -t 1 ]; then quiet=; else quiet='-- --quiet'; fi; \
	 cmake --build --preset release --parallel $(JOBS) $$quiet

demo: build
	@build/bin/sluice perf local

# One test more than there are cores: many wait for most of their time.
test: build
	@ctest --preset release --parallel $$(($(JOBS) + 1))

bench: build
	@python3 bench/compare.py

install: build
	@DESTDIR='$(DESTDIR)' cmake --install build --prefix '$(PREFIX)'

format:
	@clang-format-14 -i $(sources)

tidy: build
	@git ls-files 'src/*.cc' 'tools/*.cc' | grep -v _test.cc | \
	  xargs -n 1 -P $(JOBS) clang-tidy-14 -p build --quiet

clean:
	@rm -rf build build-*
