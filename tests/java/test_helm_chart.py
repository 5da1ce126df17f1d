"""The Helm chart: rendered by Helm, held against Kubernetes' own schemas, and against what the service demands."""

import json
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import kubernetes_validate
import pytest
import yaml
from pydantic import SecretStr

from airy_identify.settings import BRIDGE_REQUIRES, WORKER_REQUIRES, Settings, load_settings, variable
from tests.java_programs import JavaProgram, java_program

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "airy-identify"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
KUBERNETES = ("1.29", "1.32", "1.37")
SET_BY_THE_CHART = {
    "data_dir",
    "http_host",
    "http_port",
    "worker_host",
    "worker_port",
    "group_instance_id",
    "clients_file",
}
SECRETS = {
    name
    for name, field in Settings.model_fields.items()
    if SecretStr in (field.annotation, *get_args(field.annotation))
} | {"system_token", "jwt_secret", "jwt_previous_secret"}
GIVEN = {
    "kafka_bootstrap_servers": "kafka-0:9092,kafka-1:9092",
    "channel_tenants": {"c-1": "shop"},
    "requests_tenants": "default,shop",
    "requests_channels": "*",
    "reply_topics": "identify-responses,shop-replies",
    "schema_registry_url": "http://registry:8081",
    "default_region": "DE",
    "pending_requests_max": 1_000_000,
    "session_timeout_ms": 30_000,
    "standby_replicas": 1,
    "contacts_out": True,
}
"""Values of settings that are no numbers, or have to be others than they are by default; the rest get their defaults."""
REQUIRED: dict[str, Any] = {"secrets": {"system_token": {"secretName": "identify"}}}
"""All that has no default."""
Manifest = dict[str, Any]


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Chart"]:
    with java_program("helm", "RenderChart") as program:
        yield Chart(program, tmp_path_factory.mktemp("chart"))


def every_setting() -> dict[str, Any]:
    """Return a value for each setting that is given in the chart's values."""
    names = set(Settings.model_fields) - SET_BY_THE_CHART - SECRETS
    defaults = {name: Settings.model_fields[name].default for name in names}
    return {name: default for name, default in defaults.items() if default not in (None, "", {})} | GIVEN


VARIANTS: dict[str, dict[str, Any]] = {
    "as it comes": REQUIRED,
    "with everything": REQUIRED
    | {
        "settings": every_setting(),
        "image": {"digest": "sha256:" + "0" * 64, "pullSecrets": [{"name": "pull"}]},
        "secrets": {
            "jwt_secret": {"configMapName": None, "secretName": "identify", "key": "jwt"},
            "jwt_previous_secret": {"secretName": "identify", "key": "jwt-before"},
            "system_token": {"secretName": "identify", "key": "token"},
        },
        "worker": {
            "persistence": {"storageClassName": "fast"},
            "nodeSelector": {"disk": "fast"},
            "tolerations": [{"key": "a", "operator": "Exists"}],
            "affinity": {"nodeAffinity": {}},
            "podAnnotations": {"a": "b"},
            "extraEnv": [{"name": "TZ", "value": "UTC"}],
        },
        "clients": {"secretName": "clients"},
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "networkPolicy": {"kafka": {"to": [{"podSelector": {"matchLabels": {"app": "kafka"}}}]}},
    },
    "a registry with a password": REQUIRED
    | {
        "secrets": REQUIRED["secrets"] | {"schema_registry_url": {"secretName": "identify", "key": "registry"}},
        "settings": {"replication_factor": 1},
        "worker": {"persistence": {"enabled": False}},
        "bridge": {"tag": "0.0.9"},
        "clients": {"configMapName": "clients", "key": "c"},
    },
    "with as little as can be": REQUIRED
    | {
        "setup": {"enabled": False},
        "networkPolicy": {"enabled": False},
        "podDisruptionBudget": {"enabled": False},
    },
}


class Chart:
    """The chart as Helm renders it.

    The library leaves hooks out of what it renders, so they are no hooks in the copy that it gets: their annotations have
    another name, and Helm takes them for manifests like all others.
    """

    HOOK = "shown.helm.sh/hook"

    def __init__(self, helm: JavaProgram, directory: Path) -> None:
        self._helm = helm
        self._copy = shutil.copytree(CHART, directory / CHART.name)
        for template in (self._copy / "templates").iterdir():
            text = template.read_text(encoding="utf-8")
            template.write_text(text.replace("helm.sh/hook", self.HOOK), encoding="utf-8")

    def ask(self, values: dict[str, Any]) -> Any:
        return self._helm.ask(chart=str(self._copy), values=values)

    def lint(self) -> Any:
        return self._helm.ask(chart=str(CHART))

    def render(self, values: dict[str, Any]) -> list[Manifest]:
        answer = self.ask(values)
        assert "error" not in answer, answer
        return [manifest for manifest in yaml.safe_load_all(answer["manifests"]) if manifest]


@pytest.fixture(scope="module", params=VARIANTS)
def manifests(request: pytest.FixtureRequest, chart: Chart) -> list[Manifest]:
    return chart.render(VARIANTS[request.param])


def of_kind(manifests: list[Manifest], kind: str, suffix: str = "") -> Manifest:
    (found,) = [each for each in manifests if each["kind"] == kind and each["metadata"]["name"].endswith(suffix)]
    return found


def pods(manifests: list[Manifest]) -> dict[str, Manifest]:
    """Return the pods' specs by component."""
    templates = [each["spec"]["template"] for each in manifests if "template" in each["spec"]]
    return {each["metadata"]["labels"]["app.kubernetes.io/component"]: each["spec"] for each in templates}


def containers(pod: Manifest) -> list[Manifest]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def environment(container: Manifest) -> dict[str, str]:
    """Return the environment. What comes from elsewhere has a value that would do."""
    stand_ins = {"SCHEMA_REGISTRY_URL": "http://u:p@registry", "GROUP_INSTANCE_ID": "identify-worker-0"}
    found = {}
    for each in container["env"]:
        assert each["name"] not in found, "twice"
        found[each["name"]] = each.get("value") or stand_ins.get(each["name"].removeprefix("AIRY_IDENTIFY_"), "Q" * 64)
    return found


def test_helm_has_nothing_against_the_chart(chart: Chart) -> None:
    linted = chart.lint()

    assert not linted["failed"], linted


@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_knows_every_field(manifests: list[Manifest], version: str) -> None:
    for manifest in manifests:
        if manifest["kind"] == "ServiceMonitor":  # the operator's own kind, looked at below
            continue
        kubernetes_validate.validate(manifest, version, strict=True)


def test_the_schemas_notice_a_misspelt_field(chart: Chart) -> None:
    deployment = of_kind(chart.render(REQUIRED), "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, KUBERNETES[0], strict=True)


def test_every_process_starts_with_its_environment(manifests: list[Manifest]) -> None:
    required = {"worker": WORKER_REQUIRES, "bridge": BRIDGE_REQUIRES, "setup": ()}
    for component, pod in pods(manifests).items():
        for container in containers(pod):
            ours = {name: text for name, text in environment(container).items() if name.startswith("AIRY_")}
            settings = load_settings(ours, required=required[component])
            if component == "worker":
                assert container["args"] == ["worker"]
                assert settings.group_instance_id is not None
                assert settings.worker_host == "0.0.0.0"
                assert container["ports"][0]["containerPort"] == settings.worker_port
                assert [each["mountPath"] for each in container["volumeMounts"]] == [str(settings.data_dir)]
            if component == "bridge":
                assert container["args"] == ["web"]
                assert settings.http_host == "0.0.0.0"
                assert container["ports"][0]["containerPort"] == settings.http_port


def test_all_processes_have_the_same_settings(manifests: list[Manifest]) -> None:
    apart = {variable(name) for name in SET_BY_THE_CHART | SECRETS} | {"TZ"}
    all_settings = [
        {name: text for name, text in environment(container).items() if name not in apart}
        for pod in pods(manifests).values()
        for container in containers(pod)
    ]

    assert all(settings == all_settings[0] for settings in all_settings)


def test_every_setting_can_be_given(chart: Chart) -> None:
    (worker,) = pods(chart.render(VARIANTS["with everything"]))["worker"]["containers"]
    (bridge,) = pods(chart.render(VARIANTS["with everything"]))["bridge"]["containers"]
    given = environment(worker) | environment(bridge)
    optional = {"topic_prefix", "app_id", "airy_core_namespace", "http_requests_per_second_max"}

    assert set(given) - {"TZ"} >= {variable(name) for name in set(Settings.model_fields) - optional}
    assert given["AIRY_IDENTIFY_PENDING_REQUESTS_MAX"] == "1000000"
    assert json.loads(given["AIRY_IDENTIFY_CHANNEL_TENANTS"]) == {"c-1": "shop"}


@pytest.mark.parametrize(
    ("variant", "source"),
    [
        ("with everything", {"secret": {"secretName": "clients"}}),
        ("a registry with a password", {"configMap": {"name": "clients"}}),
    ],
)
def test_bridges_read_the_file_of_clients(chart: Chart, variant: str, source: Manifest) -> None:
    bridge = pods(chart.render(VARIANTS[variant]))["bridge"]
    ((kind, named),) = source.items()
    (volume,) = bridge["volumes"]
    (mount,) = bridge["containers"][0]["volumeMounts"]
    key = VARIANTS[variant]["clients"].get("key", VALUES["clients"]["key"])

    assert volume[kind] == named | {"items": [{"key": key, "path": "clients.toml"}]}
    assert mount == {"name": volume["name"], "mountPath": "/etc/airy-identify", "readOnly": True}
    settings = load_settings(environment(bridge["containers"][0]))
    assert settings.clients_file == Path(mount["mountPath"]) / "clients.toml"


def test_bridges_may_stay_behind_while_workers_go_first(chart: Chart) -> None:
    components = pods(chart.render(VARIANTS["a registry with a password"]))

    assert components["worker"]["containers"][0]["image"] == "airy-identify:0.1.0"
    assert components["bridge"]["containers"][0]["image"] == "airy-identify:0.0.9"


@pytest.mark.parametrize("name", sorted(SECRETS | SET_BY_THE_CHART))
def test_secrets_and_what_the_chart_sets_are_refused_among_the_settings(chart: Chart, name: str) -> None:
    answer = chart.ask(REQUIRED | {"settings": {name: "x"}})

    assert name in answer["error"]


def test_secrets_come_by_reference_and_each_where_it_is_needed(manifests: list[Manifest]) -> None:
    for component, pod in pods(manifests).items():
        for container in containers(pod):
            for each in container["env"]:
                setting = each["name"].removeprefix("AIRY_IDENTIFY_").lower()
                if setting in SECRETS:
                    assert set(each) == {"name", "valueFrom"}
                    assert component == "bridge" or setting != "system_token"
                    assert component != "setup"
    assert not any(manifest["kind"] == "Secret" for manifest in manifests)


def test_nothing_is_rendered_without_a_place_of_the_system_token(chart: Chart) -> None:
    assert "secrets.system_token.secretName" in chart.ask({})["error"]


def test_the_jwt_secret_is_airys_unless_told_otherwise(chart: Chart) -> None:
    (worker,) = pods(chart.render(REQUIRED))["worker"]["containers"]
    (secret,) = [each for each in worker["env"] if each["name"] == "AIRY_IDENTIFY_JWT_SECRET"]

    assert secret["valueFrom"] == {"configMapKeyRef": {"name": "core-config", "key": "CHATPLUGIN_JWT_SECRET"}}


def test_no_pod_can_do_more_than_it_has_to(manifests: list[Manifest]) -> None:
    for pod in pods(manifests).values():
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 10001
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert container["resources"]["limits"].keys() == {"memory"}


def test_kubernetes_puts_no_variables_beside_our_settings(manifests: list[Manifest]) -> None:
    """For a service `airy-identify-bridge` it would be `AIRY_IDENTIFY_BRIDGE_PORT`, which the service refuses."""
    assert all(pod["enableServiceLinks"] is False for pod in pods(manifests).values())


def test_probes_ask_what_the_processes_answer(manifests: list[Manifest]) -> None:
    for component in ("worker", "bridge"):
        (container,) = pods(manifests)[component]["containers"]
        assert container["ports"][0]["name"] == "http"
        paths = {probe: container[probe]["httpGet"]["path"] for probe in container if probe.endswith("Probe")}
        # A worker that restores is not ready, and nothing ends it for that.
        assert paths == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
        assert all(container[probe]["httpGet"]["port"] == "http" for probe in paths)


def test_selectors_find_the_pods_of_their_component_only(manifests: list[Manifest]) -> None:
    labels = {
        each["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"]: each["spec"]["template"][
            "metadata"
        ]["labels"]
        for each in manifests
        if "template" in each["spec"]
    }
    for manifest in manifests:
        selector = manifest["spec"].get("selector", manifest["spec"].get("podSelector"))
        if selector is None:
            continue
        wanted = selector.get("matchLabels", selector)
        found = {component for component, has in labels.items() if wanted.items() <= has.items()}
        assert found <= {manifest["metadata"]["labels"]["app.kubernetes.io/component"]}
        assert found or manifest["metadata"]["name"].endswith("-setup")
    stateful = of_kind(manifests, "StatefulSet")
    assert stateful["spec"]["serviceName"] == of_kind(manifests, "Service", "-worker")["metadata"]["name"]
    assert of_kind(manifests, "Service", "-worker")["spec"]["clusterIP"] == "None"
    assert stateful["spec"]["podManagementPolicy"] == "Parallel"


def test_workers_keep_their_place_and_time_is_left_to_end(chart: Chart) -> None:
    manifests = chart.render(REQUIRED)
    stateful, bridge = of_kind(manifests, "StatefulSet"), pods(manifests)["bridge"]
    (worker,) = stateful["spec"]["template"]["spec"]["containers"]
    (name,) = [each for each in worker["env"] if each["name"] == "AIRY_IDENTIFY_GROUP_INSTANCE_ID"]
    (claim,) = stateful["spec"]["volumeClaimTemplates"]
    pause_s = VALUES["bridge"]["preStopSeconds"]

    assert name["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert claim["metadata"]["name"] == worker["volumeMounts"][0]["name"]
    assert bridge["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][-1].endswith(f"({pause_s})")
    assert bridge["terminationGracePeriodSeconds"] > pause_s + Settings().request_timeout_ms / 1000


def test_topics_and_schemas_are_made_before_anything_else(chart: Chart) -> None:
    hooks = ("pre-install,pre-upgrade", "before-hook-creation,hook-succeeded")
    for values, steps in (
        (REQUIRED, [["topics", "create"]]),
        (VARIANTS["with everything"], [["topics", "create"], ["schemas", "register"]]),
        (VARIANTS["a registry with a password"], [["topics", "create"], ["schemas", "register"]]),
    ):
        manifests = chart.render(values)
        job, policy = of_kind(manifests, "Job"), of_kind(manifests, "NetworkPolicy", "-setup")
        assert [container["args"] for container in containers(job["spec"]["template"]["spec"])] == steps
        for each in (job, policy):
            notes = each["metadata"]["annotations"]
            assert (notes[Chart.HOOK], notes[f"{Chart.HOOK}-delete-policy"]) == hooks
        weights = [int(each["metadata"]["annotations"][f"{Chart.HOOK}-weight"]) for each in (policy, job)]
        assert weights == sorted(weights)


def test_only_those_named_reach_the_pods_and_these_only_what_they_need(chart: Chart) -> None:
    manifests = chart.render(VARIANTS["with everything"])
    worker, bridge, setup = (of_kind(manifests, "NetworkPolicy", f"-{name}") for name in ("worker", "bridge", "setup"))

    assert [rule["from"] for rule in worker["spec"]["ingress"]] == [VALUES["networkPolicy"]["monitoring"]]
    assert [rule["from"] for rule in bridge["spec"]["ingress"]] == [
        VALUES["networkPolicy"]["monitoring"],
        VALUES["networkPolicy"]["callers"],
    ]
    assert setup["spec"]["ingress"] == []
    for policy in (worker, bridge, setup):
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
        ports = [[port["port"] for port in rule["ports"]] for rule in policy["spec"]["egress"]]
        assert ports == [[53, 53], [9092], [8081]]
        assert policy["spec"]["egress"][0]["to"] == VALUES["networkPolicy"]["dns"]["to"]
        assert policy["spec"]["egress"][1]["to"] == [{"podSelector": {"matchLabels": {"app": "kafka"}}}]
    without = of_kind(chart.render(REQUIRED), "NetworkPolicy", "-worker")
    assert len(without["spec"]["egress"]) == 2


def test_one_pod_of_a_component_may_be_away(chart: Chart) -> None:
    manifests = chart.render(REQUIRED)
    for component in ("worker", "bridge"):
        assert of_kind(manifests, "PodDisruptionBudget", component)["spec"]["maxUnavailable"] == 1
        assert pods(manifests)[component]["topologySpreadConstraints"]


def test_the_prometheus_operator_finds_the_metrics(chart: Chart) -> None:
    manifests = chart.render(VARIANTS["with everything"])
    for component in ("worker", "bridge"):
        monitor, service = (of_kind(manifests, kind, component) for kind in ("ServiceMonitor", "Service"))
        assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
        assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        (endpoint,) = monitor["spec"]["endpoints"]
        assert endpoint == {"port": service["spec"]["ports"][0]["name"], "path": "/metrics", "interval": "30s"}
        assert monitor["metadata"]["labels"]["release"] == "prometheus"


def test_the_chart_is_of_the_version_of_the_package() -> None:
    project = tomllib.loads((CHART.parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    described = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))

    assert described["appVersion"] == project["version"]
