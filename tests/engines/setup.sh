#!/usr/bin/env bash
# Brings what the tests of the other engines need into a cache folder, once: Prism (built by Go) and a Flink job server
# with a local cluster (from Maven Central). What can't be had is said and left out: its tests then skip with that reason.
#   tests/engines/setup.sh [FOLDER]      default: $GRISTMILL_ENGINES, else ~/.cache/gristmill/engines
set -u
here=$(cd "$(dirname "$0")" && pwd)
cache=${1:-${GRISTMILL_ENGINES:-$HOME/.cache/gristmill/engines}}
beam=2.77.0
mkdir -p "$cache"

prism() {
    [ -x "$cache/prism-$beam" ] && return 0
    command -v go >/dev/null || { echo "engines: no Go here, so no Prism"; return 0; }
    local bin; bin=$(mktemp -d)
    if GOBIN=$bin GOFLAGS=-trimpath go install "github.com/apache/beam/sdks/v2/go/cmd/prism@v$beam" >"$cache/prism.log" 2>&1; then
        mv "$bin/prism" "$cache/prism-$beam"
    else
        echo "engines: Prism could not be built, see $cache/prism.log"
    fi
    rm -rf "$bin"
}

flink() {
    [ -f "$cache/flink/.done" ] && return 0
    command -v java >/dev/null && command -v mvn >/dev/null || { echo "engines: no Java or Maven here, so no Flink"; return 0; }
    mkdir -p "$cache/flink"
    if mvn -B -q -f "$here/flink-pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$cache/flink/lib" >"$cache/flink.log" 2>&1; then
        touch "$cache/flink/.done"
    else
        echo "engines: the Flink job server could not be had, see $cache/flink.log"
    fi
}

prism
flink
echo "engines: $(ls "$cache" | tr '\n' ' ')in $cache"
