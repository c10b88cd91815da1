#!/usr/bin/env bash
# Compares freshly generated files below the directory $1 with those in the tree, and fails on any difference.
set -euo pipefail

fresh=$1
status=0
while IFS= read -r -d '' file; do
  path=${file#"$fresh"/}
  if ! diff -u --label "$path (in the tree)" --label "$path (generated)" "$path" "$file"; then
    status=1
  fi
done < <(find "$fresh" -type f -print0 | sort -z)

# A file whose type or object is gone would stay behind unnoticed otherwise.
while IFS= read -r -d '' path; do
  if [[ ! -e "$fresh/$path" ]]; then
    echo "$path is no longer generated: delete it" >&2
    status=1
  fi
done < <(find config/crd/bases bundle dist/chart -type f -print0 | sort -z)

if ((status != 0)); then
  echo "generated files are out of date: run 'make generate' and commit the result" >&2
fi
exit "$status"
