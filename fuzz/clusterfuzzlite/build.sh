#!/bin/bash -eu
# Builds every target as OSS-Fuzz and ClusterFuzzLite ask for it: into $OUT, each with its seeds and its dictionary.
# Without Docker: SRC and OUT are directories, $SRC/vnetem is the project, and RUSTUP_TOOLCHAIN=nightly.
cd "$SRC/vnetem/fuzz"
# What a target does not call would only be more counters for libFuzzer to go through after each execution (docs/guide/fuzzing.md).
cargo fuzz build -O --debug-assertions --strip-dead-code
built=${CARGO_TARGET_DIR:-target}/x86_64-unknown-linux-gnu/release
for target in fuzz_targets/*.rs; do
  name=$(basename "$target" .rs)
  cp "$built/$name" "$OUT/"
  seeds=("corpus/$name")
  if [ -d "crashes/$name" ]; then seeds+=("crashes/$name"); fi
  rm -f "$OUT/${name}_seed_corpus.zip"
  zip -jqr "$OUT/${name}_seed_corpus.zip" "${seeds[@]}"
  if [ -f "dictionaries/$name.dict" ]; then cp "dictionaries/$name.dict" "$OUT/"; fi
done
