#!/usr/bin/env bash
# Runs inside Colab's own runtime image: install the book's package as a reader's first cell does, see that no
# package Colab brought was changed, then run every chapter of _toc.yml from an empty folder.
#   docker run --rm -v "$PWD:/book:ro" IMAGE bash /book/.github/colab.sh
set -Eeuo pipefail
book=${1:-/book}
python=$(command -v python3)
work=$(mktemp -d)
cp -r "$book" "$work/book" # pip writes beside the sources it builds, and the mount is read-only

"$python" --version
"$python" -m pip freeze | grep -vi '^genbook' | sort > "$work/before.txt"
"$python" -m pip install --quiet "$work/book"
"$python" -m pip freeze | grep -vi '^genbook' | sort > "$work/after.txt"
changed=$(comm -23 "$work/before.txt" "$work/after.txt")
if [ -n "$changed" ]; then
  echo "Installing genbook changed packages that Colab brought (their versions before):"
  echo "$changed"
  exit 1
fi
rm -rf "$work/book/src" "$work/book/data" # what runs from here on is the installed wheel

mapfile -t chapters < <(sed -n 's|^ *- file: *chapters/||p' "$book/_toc.yml")
failed=()
for chapter in "${chapters[@]}"; do
  empty=$(mktemp -d)
  cp "$book/chapters/$chapter.ipynb" "$empty/"
  start=$SECONDS
  if (cd "$empty" && MPLBACKEND=agg "$python" -m jupyter nbconvert --to notebook --execute --log-level ERROR \
      --ExecutePreprocessor.timeout=600 --output run.ipynb "$chapter.ipynb"); then
    echo "ran $chapter in $((SECONDS - start)) s"
  else
    echo "FAILED $chapter"
    failed+=("$chapter")
  fi
done
echo "chapters run in Colab's image: $((${#chapters[@]} - ${#failed[@]})) of ${#chapters[@]}"
[ "${#chapters[@]}" -gt 0 ] && [ "${#failed[@]}" -eq 0 ]
