#!/usr/bin/env bash
# build.sh DIR VERSION: fetches this version of the Kinesis Client Library with Maven into
# DIR/lib/VERSION, and compiles KclWorker.java against it into DIR/classes/VERSION.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=$1
version=$2
libraries=$dir/lib/$version
classes=$dir/classes/$version
own=$dir/build-$$
trap 'rm -rf "$own"' EXIT
mkdir -p "$own" "$dir/lib" "$dir/classes"
if [ ! -d "$libraries" ]; then
    mvn -q -B -f "$here/pom.xml" "-Dkcl.version=$version" \
        org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
        -DincludeScope=runtime "-DoutputDirectory=$own/lib"
    # Of two runs at the same time, one moves its folder first.
    mv -T "$own/lib" "$libraries" 2>/dev/null || [ -d "$libraries" ]
fi
if [ ! "$classes/KclWorker.class" -nt "$here/KclWorker.java" ]; then
    javac -nowarn --release 17 -d "$own/classes" -cp "$libraries/*" "$here/KclWorker.java"
    mkdir -p "$classes"
    cp "$own"/classes/*.class "$classes"
fi
