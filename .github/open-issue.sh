#!/usr/bin/env bash
# open-issue.sh TITLE BODY-FILE: open an issue, or add to the one that is already open under this title.
# Needs GH_TOKEN and GH_REPO, as the workflows set them.
set -Eeuo pipefail
title=$1 body=$2
{
  [ ! -s "$body" ] || head -c 60000 "$body"
  printf '\n\nThe run: %s/%s/actions/runs/%s\n' "$GITHUB_SERVER_URL" "$GH_REPO" "$GITHUB_RUN_ID"
} > "$RUNNER_TEMP/issue.md"
number=$(gh issue list --state open --limit 200 --json number,title \
  --jq "map(select(.title == \"$title\"))[0].number // empty")
if [ -n "$number" ]; then
  gh issue comment "$number" --body-file "$RUNNER_TEMP/issue.md"
else
  gh issue create --title "$title" --body-file "$RUNNER_TEMP/issue.md"
fi
