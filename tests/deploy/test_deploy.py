"""What is in deploy/: read, linted and rendered; a cluster or a container engine is not needed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.shared_data import ROOT
from tidyllm.config import inspect

DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "tidyllm"
HELM = shutil.which("helm", path=str(Path(sys.executable).parent)) or shutil.which("helm")

needs_helm = pytest.mark.skipif(
    HELM is None, reason="no helm for this platform among the packages of the tests"
)


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    assert HELM is not None
    return subprocess.run([HELM, *arguments], capture_output=True, text=True, check=False, timeout=50)


def rendered(*settings: str) -> dict[str, dict[str, Any]]:
    """The chart's objects by kind."""
    options = [part for setting in ("secret=keys", *settings) for part in ("--set", setting)]
    done = helm("template", "here", str(CHART), *options)
    assert done.returncode == 0, done.stderr
    return {one["kind"]: one for one in yaml.safe_load_all(done.stdout)}


@needs_helm
def test_the_chart_is_linted_without_a_complaint() -> None:
    done = helm("lint", "--strict", str(CHART), "--set", "secret=keys")
    assert done.returncode == 0, done.stdout
    assert "0 chart(s) failed" in done.stdout


@needs_helm
def test_the_chart_runs_what_the_command_line_takes_and_not_as_root() -> None:
    pod = rendered()["Deployment"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert container["args"][0] == "serve"
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["envFrom"] == [{"secretRef": {"name": "keys"}}]


@needs_helm
def test_the_service_leads_to_the_gateways_pods() -> None:
    objects = rendered()
    labels = objects["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert objects["Service"]["spec"]["selector"].items() <= labels.items()
    assert objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"].items() <= labels.items()


@needs_helm
def test_the_number_of_gateways_is_left_to_the_autoscaler_where_there_is_one() -> None:
    fixed, scaled = rendered("replicas=5"), rendered("autoscaling.enabled=true")
    assert fixed["Deployment"]["spec"]["replicas"] == 5
    assert "HorizontalPodAutoscaler" not in fixed
    assert "replicas" not in scaled["Deployment"]["spec"]
    assert scaled["HorizontalPodAutoscaler"]["spec"]["maxReplicas"] == 10


@needs_helm
def test_a_chart_without_a_secret_is_refused_with_what_to_do() -> None:
    done = helm("template", "here", str(CHART))
    assert done.returncode != 0
    assert "name the Secret that holds the keys" in done.stderr


def test_the_configurations_that_are_shipped_are_right(tmp_path: Path) -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for name, text in (("compose", (DEPLOY / "tidyllm.yaml").read_text()), ("chart", values["config"])):
        file = tmp_path / f"{name}.yaml"
        file.write_text(text)
        assert inspect(str(file)).problems == ()


def test_compose_keeps_secrets_outside_and_names_what_it_needs() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services = compose["services"]
    for name, service in services.items():
        assert service.get("image", "").count(":") == 1 or "build" in service, f"{name} has no pinned image"
        for other in service.get("depends_on", ()):
            assert other in services
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in compose["volumes"] if not source.startswith(".") else (DEPLOY / source).is_file()
    secrets = [str(value) for value in services["gateway"]["environment"].values() if "KEY" in str(value)]
    assert secrets
    assert all(value.startswith("${") for value in secrets)
    build = services["gateway"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).resolve() == DEPLOY / "Containerfile"


def test_the_image_is_slim_not_root_and_finds_every_file_that_it_copies() -> None:
    lines = (DEPLOY / "Containerfile").read_text().splitlines()
    bases = [line.split()[1] for line in lines if line.startswith("FROM ")]
    assert all(base.endswith("-slim") for base in bases)
    last = max(n for n, line in enumerate(lines) if line.startswith("FROM "))
    user = next(line for line in lines[last:] if line.startswith("USER "))
    assert int(user.split()[1]) > 0
    ignored = (ROOT / ".containerignore").read_text().split()
    for line in lines:
        if (found := re.match(r"COPY (?!--from)(.+) \S+$", line)) is not None:
            for source in found[1].split():
                assert (ROOT / source).exists(), source
                assert any(fnmatch(source, kept[1:]) for kept in ignored if kept.startswith("!")), source


def test_both_names_of_the_ignore_file_say_the_same() -> None:
    assert (ROOT / ".containerignore").read_text() == (ROOT / ".dockerignore").read_text()
