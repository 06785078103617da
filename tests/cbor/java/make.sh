#!/usr/bin/env bash
# make.sh: writes ../requests.txt and ../responses.txt with the SDK for Java, which Maven fetches.
set -euo pipefail
cd "$(dirname "$0")"
libraries=$(mktemp -d)
trap 'rm -rf "$libraries"' EXIT
mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DincludeScope=runtime "-DoutputDirectory=$libraries"
java -cp "$libraries/*" Vectors.java ..
