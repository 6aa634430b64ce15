#!/bin/bash
# usage: hc.sh "message" [-h regex] file...   commits whole files, or for files after -h only the hunks that match regex
set -e
cd /work/main
msg="$1"; shift
export GIT_INDEX_FILE=/tmp/w/index.$$
for try in 1 2 3 4 5; do
  head=$(git rev-parse HEAD)
  git read-tree $head
  list=()
  re=""
  args=("$@")
  i=0
  while [ $i -lt ${#args[@]} ]; do
    a="${args[$i]}"
    if [ "$a" = -h ]; then i=$((i+1)); re="${args[$i]}"; i=$((i+1)); continue; fi
    if [ -z "$re" ]; then git update-index --add "$a"; else
      git diff -U0 $head -- "$a" | python3 -c '
import sys,re
t=sys.stdin.read(); rx=re.compile(sys.argv[1])
parts=re.split(r"(?m)^(?=@@)",t)
keep=[p for p in parts[1:] if rx.search("\n".join(l for l in p.split("\n")[1:]))]
sys.stdout.write(parts[0]+"".join(keep) if keep else "")' "$re" > /tmp/w/p.$$
      if [ -s /tmp/w/p.$$ ]; then git apply --cached --unidiff-zero /tmp/w/p.$$; fi
    fi
    list+=("$a"); i=$((i+1))
  done
  tree=$(git write-tree)
  commit=$(git commit-tree $tree -p $head -m "$msg")
  if git update-ref HEAD $commit $head; then
    unset GIT_INDEX_FILE
    for f in "${list[@]}"; do
      git ls-tree $commit -- "$f" | while read mode type sha name; do git update-index --add --cacheinfo $mode,$sha,"$f" || { sleep 1; git update-index --add --cacheinfo $mode,$sha,"$f"; }; done
    done
    git show --stat $commit | tail -40
    exit 0
  fi
  sleep 1
done
exit 1
