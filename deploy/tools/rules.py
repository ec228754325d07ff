"""What no schema sees: whether the objects of one rendering fit each other, and whether the pods are as closed as we say.
Called by check.sh as `rules.py RENDERED.yaml [FOLDER]`; prints what is broken and exits 1. With FOLDER it also writes the
node configurations found there, for `rewamp check`. Knows nothing of Helm: the plain manifests keep the same rules.
"""

import json
import pathlib
import sys

import yaml

PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
SECRET_KEYS = ("ticket", "secret")
CLOSED_POD = {
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "runAsGroup": 10001,
    "seccompProfile": {"type": "RuntimeDefault"},
}
CLOSED_CONTAINER = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


class Rendering:
    """The objects of one `helm template`, or of k8s/."""

    def __init__(self, text):
        self.objects = [document for document in yaml.safe_load_all(text) if document]

    def kind(self, kind):
        return [o for o in self.objects if o["kind"] == kind]

    def names(self, kind):
        return {o["metadata"]["name"] for o in self.kind(kind)}

    @property
    def node(self):
        """The StatefulSet; exactly one, or nothing else here makes sense."""
        (node,) = self.kind("StatefulSet")
        return node

    @property
    def pod(self):
        return self.node["spec"]["template"]

    @property
    def container(self):
        (container,) = self.pod["spec"]["containers"]
        return container

    def container_ports(self):
        return {port["name"]: port["containerPort"] for port in self.container["ports"]}

    def configurations(self):
        return [json.loads(o["data"]["config.json"]) for o in self.kind("ConfigMap")]


def selects(selector, labels):
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


def selectors_find_the_node(r):
    labels = r.pod["metadata"]["labels"]
    found = [(o, o["spec"]["selector"]) for o in r.kind("Service")]
    found += [(o, o["spec"]["selector"]["matchLabels"]) for o in r.kind("PodDisruptionBudget") + r.kind("StatefulSet")]
    found += [(o, o["spec"]["podSelector"]["matchLabels"]) for o in r.kind("NetworkPolicy")]
    for spread in r.pod["spec"].get("topologySpreadConstraints", []):
        found.append((r.node, spread["labelSelector"]["matchLabels"]))
    for o, selector in found:
        if not selects(selector, labels):
            yield f"{o['kind']} {o['metadata']['name']} selects {selector}, the pods have {labels}"
    for o in r.kind("Pod"):
        if any(selects(selector, o["metadata"]["labels"]) for _, selector in found):
            yield f"Pod {o['metadata']['name']} would be taken for a node"


def monitors_find_one_service(r):
    for monitor in r.kind("ServiceMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"]
        services = [s for s in r.kind("Service") if selects(wanted, s["metadata"]["labels"])]
        if len(services) != 1:
            yield f"ServiceMonitor selects {len(services)} Services; each node would be scraped as often"
            continue
        ports = {port["name"] for port in services[0]["spec"]["ports"]}
        for endpoint in monitor["spec"]["endpoints"]:
            if endpoint["port"] not in ports:
                yield f"ServiceMonitor scrapes port {endpoint['port']}, the Service has {sorted(ports)}"


def ports_exist(r):
    ports = set(r.container_ports())
    used = [("Service", p["targetPort"]) for s in r.kind("Service") for p in s["spec"]["ports"]]
    used += [(probe, r.container[probe]["httpGet"]["port"]) for probe in PROBES]
    for policy in r.kind("NetworkPolicy"):
        used += [("NetworkPolicy", p["port"]) for rule in policy["spec"]["ingress"] for p in rule["ports"]]
        let_in = {p["port"] for rule in policy["spec"]["ingress"] for p in rule["ports"]}
        if let_in != ports:
            yield f"NetworkPolicy lets in {sorted(let_in)}, the container listens on {sorted(ports)}"
    for who, port in used:
        if port not in ports:
            yield f"{who} uses port {port}, the container has {sorted(ports)}"


def ingress_leads_to_a_service(r):
    services = {s["metadata"]["name"]: {p["name"] for p in s["spec"]["ports"]} for s in r.kind("Service")}
    for ingress in r.kind("Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                if backend["port"]["name"] not in services.get(backend["name"], ()):
                    yield f"Ingress leads to {backend}, which does not exist"


def each_node_has_a_name(r):
    wanted = r.node["spec"]["serviceName"]
    service = next((s["spec"] for s in r.kind("Service") if s["metadata"]["name"] == wanted), {})
    if service.get("clusterIP") != "None" or not service.get("publishNotReadyAddresses"):
        yield f"serviceName {wanted} is no headless Service that publishes nodes before they are ready"


def history_outlives_the_release(r):
    spec = r.node["spec"]
    mounts = {m["name"]: m["mountPath"] for m in r.container["volumeMounts"]}
    volumes = {v["name"] for v in r.pod["spec"]["volumes"]}
    claims = {c["metadata"]["name"] for c in spec.get("volumeClaimTemplates", [])}
    if set(mounts) != volumes | claims:
        yield f"mounts {sorted(mounts)} and volumes {sorted(volumes | claims)} differ"
    if claims and set(spec["persistentVolumeClaimRetentionPolicy"].values()) != {"Retain"}:
        yield "claims are deleted with the release"
    for claim in spec.get("volumeClaimTemplates", []):
        for label in claim["metadata"].get("labels", {}):
            if "version" in label or "chart" in label:
                yield f"claim template has label {label}, which changes with an upgrade and cannot be changed"


def the_node_has_time_to_stop(r):
    pod = r.pod["spec"]
    wait = r.container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    if pod["terminationGracePeriodSeconds"] <= wait:
        yield "preStop takes the whole grace period"


def pods_are_closed(r):
    for name, pod in [("node", r.pod["spec"])] + [(o["metadata"]["name"], o["spec"]) for o in r.kind("Pod")]:
        security = pod["securityContext"]
        for key, value in CLOSED_POD.items():
            if security.get(key) != value:
                yield f"pod {name}: {key} is {security.get(key)}, not {value}"
        for key in ("automountServiceAccountToken", "enableServiceLinks"):
            if pod.get(key) is not False:
                yield f"pod {name}: {key} is not false"
        for container in pod["containers"]:
            if container["securityContext"] != CLOSED_CONTAINER:
                yield f"pod {name}: container {container['name']} has {container['securityContext']}"
            if "memory" not in container["resources"].get("limits", {}):
                yield f"pod {name}: container {container['name']} has no memory limit"


def references_are_kept(r):
    account = r.pod["spec"]["serviceAccountName"]
    if account != "default" and account not in r.names("ServiceAccount"):
        yield f"ServiceAccount {account} does not exist"
    for volume in r.pod["spec"]["volumes"]:
        name = volume.get("configMap", {}).get("name")
        if name and r.kind("ConfigMap") and name not in r.names("ConfigMap"):
            yield f"ConfigMap {name} does not exist"


def the_configuration_fits_the_pod(r):
    ports = r.container_ports()
    mounts = [m["mountPath"] for m in r.container["volumeMounts"] if not m.get("readOnly")]
    for configuration in r.configurations():
        (worker,) = configuration["workers"]
        endpoints = [t["endpoint"] for t in worker["transports"]] + [configuration["rewamp"]["admin"]]
        if {e["port"] for e in endpoints} != set(ports.values()):
            yield f"the node listens on {[e['port'] for e in endpoints]}, the container has {ports}"
        paths = [realm["store"].get("path") for realm in worker["realms"] if realm.get("store", {}).get("type") == "sled"]
        if len(set(paths)) != len(paths):
            yield f"two realms share a folder: {paths}"
        for path in paths:
            if not any(str(path).startswith(mount + "/") for mount in mounts):
                yield f"store path {path} is not on a volume: {mounts}"


def secrets_stay_out_of_config_maps(r):
    def walk(value, path):
        if isinstance(value, dict):
            for key, inner in value.items():
                if key in SECRET_KEYS and not isinstance(inner, dict):
                    yield from ((f"{path}.{key}", text) for text in (inner if isinstance(inner, list) else [inner]))
                yield from walk(inner, f"{path}.{key}")
        elif isinstance(value, list):
            for index, inner in enumerate(value):
                yield from walk(inner, f"{path}[{index}]")

    for configuration in r.configurations():
        for path, secret in walk(configuration, "$"):
            if isinstance(secret, str) and not secret.startswith("${"):
                yield f"{path} is a literal secret"


RULES = [
    selectors_find_the_node,
    monitors_find_one_service,
    ports_exist,
    ingress_leads_to_a_service,
    each_node_has_a_name,
    history_outlives_the_release,
    the_node_has_time_to_stop,
    pods_are_closed,
    references_are_kept,
    the_configuration_fits_the_pod,
    secrets_stay_out_of_config_maps,
]


def main(rendered, folder=None):
    rendering = Rendering(pathlib.Path(rendered).read_text())
    broken = [f"{rule.__name__}: {fault}" for rule in RULES for fault in rule(rendering)]
    print("\n".join(broken))
    for index, configuration in enumerate(rendering.configurations() if folder else []):
        pathlib.Path(folder, f"{pathlib.Path(rendered).stem}-{index}.json").write_text(json.dumps(configuration))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
