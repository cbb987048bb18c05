#!/usr/bin/env python3
"""The manifests of deploy/k8s: fields and types as the schemas of Kubernetes and JobSet have them,
names that refer to something, and scripts that the real `sluice` understands.

    python3 tests/deploy/manifests_test.py --sluice build/bin/sluice --folder deploy/k8s
"""

import json
import os
import subprocess
import sys
import tempfile
import unittest

try:
    import yaml
except ImportError:
    yaml = None

SLUICE = ""
FOLDER = ""

# What the API knows of the fields that are used here. A name that ends in ! is required; a list in
# brackets has items of that kind; {} is free, as labels are.
ENV = {"name!": str, "value": str, "valueFrom": {"secretKeyRef!": {"name!": str, "key!": str}}}
CONTAINER = {
    "name!": str, "image!": str, "command": [str], "args": [str], "env": [ENV],
    "restartPolicy": str, "resources": {"limits": {}},
    "securityContext": {"privileged": bool, "capabilities": {"add": [str]}},
    "volumeMounts": [{"name!": str, "mountPath!": str, "readOnly": bool}]}
VOLUME = {"name!": str, "hostPath": {"path!": str},
          "emptyDir": {"medium": str, "sizeLimit": str}}
POD = {
    "subdomain": str, "restartPolicy!": str, "nodeSelector": {},
    "tolerations": [{"key": str, "operator": str, "effect": str}],
    "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey!": str, "labelSelector": {"matchLabels": {}}}]}},
    "initContainers": [CONTAINER], "containers!": [CONTAINER], "volumes": [VOLUME]}
JOB = {
    "completionMode": str, "completions": int, "parallelism": int, "backoffLimit": int,
    "template!": {"metadata": {"labels": {}, "annotations": {}}, "spec!": POD}}
KINDS = {
    ("v1", "Service"): {"clusterIP": str, "publishNotReadyAddresses": bool, "selector": {}},
    ("batch/v1", "Job"): JOB,
    ("jobset.x-k8s.io/v1alpha2", "JobSet"): {
        "network": {"enableDNSHostnames": bool, "subdomain": str,
                    "publishNotReadyAddresses": bool},
        "replicatedJobs!": [{"name!": str, "replicas": int, "template!": {"spec!": JOB}}]}}


def mistakes(value, schema, path):
    """A line for everything in `value` that `schema` does not have."""
    if isinstance(schema, type):
        if type(value) is not schema:  # bool is no int here.
            yield f"{path}: {value!r} is no {schema.__name__}"
    elif isinstance(schema, list):
        if not isinstance(value, list) or not value:
            yield f"{path}: no list"
            return
        for i, item in enumerate(value):
            yield from mistakes(item, schema[0], f"{path}[{i}]")
    elif not isinstance(value, dict):
        yield f"{path}: {value!r} is no object"
    elif schema:
        known = {name.rstrip("!"): kind for name, kind in schema.items()}
        for name, item in value.items():
            if name in known:
                yield from mistakes(item, known[name], f"{path}.{name}")
            else:
                yield f"{path}.{name}: unknown"
        for name in schema:
            if name.endswith("!") and name[:-1] not in value:
                yield f"{path}.{name[:-1]}: missing"


def jobs_of(document):
    """(name before the pod's index, subdomain, Job's spec) of each Job of a document."""
    name, spec = document["metadata"]["name"], document["spec"]
    if document["kind"] == "Job":
        yield f"{name}-", spec["template"]["spec"]["subdomain"], spec
    if document["kind"] == "JobSet":
        for job in spec["replicatedJobs"]:
            yield f"{name}-{job['name']}-0-", spec["network"]["subdomain"], job["template"]["spec"]


@unittest.skipIf(yaml is None, "python3-yaml is not installed")
class Manifests(unittest.TestCase):
    def setUp(self):
        self.documents = {}
        for name in sorted(os.listdir(FOLDER)):
            with open(os.path.join(FOLDER, name), encoding="utf-8") as file:
                self.documents[name] = list(yaml.safe_load_all(file))
        self.assertEqual(set(self.documents), {"mesh-a3-high.yaml", "mesh-job.yaml"})

    def jobs(self):
        for name, documents in self.documents.items():
            for document in documents:
                for job in jobs_of(document):
                    with self.subTest(file=name):
                        yield (name, *job)

    def test_fields_are_those_of_the_schemas(self):
        for name, documents in self.documents.items():
            for document in documents:
                with self.subTest(file=name, kind=document.get("kind")):
                    self.assertEqual(set(document), {"apiVersion", "kind", "metadata", "spec"})
                    self.assertEqual(set(document["metadata"]), {"name"})
                    schema = KINDS[document["apiVersion"], document["kind"]]
                    self.assertEqual(list(mistakes(document["spec"], schema, "spec")), [])

    def test_a_wrong_field_would_be_found(self):
        job = {"completions": "2",
               "template": {"spec": {"restartPolicy": "Never", "container": []}}}
        self.assertEqual(list(mistakes(job, JOB, "spec")),
                         ["spec.completions: '2' is no int",
                          "spec.template.spec.container: unknown",
                          "spec.template.spec.containers: missing"])

    def test_pods_have_ranks_and_are_as_many_as_hosts(self):
        for _, _, _, job in self.jobs():
            self.assertEqual(job["completionMode"], "Indexed")
            self.assertEqual(job["completions"], job["parallelism"])
            pod = job["template"]["spec"]
            self.assertEqual(pod["restartPolicy"], "Never")
            env = {one["name"]: one for one in pod["containers"][0]["env"]}
            self.assertEqual(env["HOSTS"]["value"], str(job["completions"]))
            self.assertIn("valueFrom", env["SLUICE_TOKEN"], "a token does not stand in a manifest")

    def test_the_service_is_that_of_the_pods(self):
        service, job = self.documents["mesh-job.yaml"]
        self.assertEqual(service["metadata"]["name"], job["spec"]["template"]["spec"]["subdomain"])
        self.assertEqual(service["spec"]["selector"], {"job-name": job["metadata"]["name"]})
        self.assertEqual(service["spec"]["clusterIP"], "None")

    def test_every_mount_has_its_volume(self):
        for _, _, _, job in self.jobs():
            pod = job["template"]["spec"]
            volumes = {volume["name"] for volume in pod.get("volumes", [])}
            containers = pod.get("initContainers", []) + pod["containers"]
            mounted = {mount["name"] for container in containers
                       for mount in container.get("volumeMounts", [])}
            self.assertEqual(mounted, volumes)

    def test_rxdm_is_a_side_car_whose_sockets_the_plugin_finds(self):
        pod = self.documents["mesh-a3-high.yaml"][0]["spec"]["replicatedJobs"][0]["template"][
            "spec"]["template"]
        rxdm, mesh = pod["spec"]["initContainers"][0], pod["spec"]["containers"][0]
        self.assertEqual(rxdm["restartPolicy"], "Always")
        sockets = rxdm["command"][rxdm["command"].index("--uds_path") + 1]
        printed = subprocess.run([SLUICE, "env", "a3-high"], capture_output=True, text=True,
                                 check=True).stdout
        self.assertIn(f"NCCL_GPUDIRECTTCPX_UNIX_CLIENT_PREFIX='{sockets}'", printed)
        for container in (rxdm, mesh):
            self.assertIn({"name": "tcpx-socket", "mountPath": sockets}, container["volumeMounts"])
        self.assertEqual(mesh["resources"]["limits"], {"nvidia.com/gpu": 8})
        interfaces = json.loads(pod["metadata"]["annotations"]["networking.gke.io/interfaces"])
        names = [one["interfaceName"] for one in interfaces]
        self.assertEqual(names, ["eth0", "eth1", "eth2", "eth3", "eth4"])
        self.assertIn("NCCL_GPUDIRECTTCPX_SOCKET_IFNAME='" + ",".join(names[1:]) + "'", printed)
        self.assertEqual(pod["metadata"]["annotations"]["networking.gke.io/default-interface"],
                         "eth0")

    def test_scripts_name_the_pods_and_sluice_understands_them(self):
        for _, prefix, subdomain, job in self.jobs():
            container = job["template"]["spec"]["containers"][0]
            with tempfile.TemporaryDirectory() as folder:
                os.symlink(SLUICE, os.path.join(folder, "sluice"))
                script = container["args"][0].replace("/tmp/", folder + "/")
                # Past the last rank: understood, and at its end at once.
                environment = {"PATH": folder + ":" + os.environ["PATH"], "HOSTS": "3",
                               "JOB_COMPLETION_INDEX": "3"}
                result = subprocess.run([*container["command"], script], capture_output=True,
                                        text=True, env=environment, timeout=60, check=False)
                self.assertEqual(result.returncode, 2, result.stderr)
                self.assertIn("JOB_COMPLETION_INDEX: rank 3 of 3 hosts", result.stderr)
                with open(os.path.join(folder, "hosts"), encoding="utf-8") as file:
                    self.assertEqual(file.read().split(),
                                     [f"{prefix}{i}.{subdomain}" for i in range(3)])


def take_path(option):
    at = sys.argv.index(option)
    path = os.path.abspath(sys.argv[at + 1])
    del sys.argv[at:at + 2]
    return path


if __name__ == "__main__":
    SLUICE, FOLDER = take_path("--sluice"), take_path("--folder")
    unittest.main(verbosity=2)
