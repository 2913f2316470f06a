"""A finished study in object storage, as docs/storage.md says, on a local S3-compatible server."""

import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.support.pipeline import ROOT, run

pytestmark = pytest.mark.pipeline
Plan = Callable[..., dict[str, int]]
PAGE = (ROOT / "docs/storage.md").read_text(encoding="utf-8")
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": "*",
            # For HEAD requests, S3 asks for the first, and moto for the second.
            "Action": ["s3:GetObject", "s3:HeadObject"],
            "Resource": "arn:aws:s3:::bucket/*",
        }
    ],
}
KEYS = ("env", "AWS_ACCESS_KEY_ID=key", "AWS_SECRET_ACCESS_KEY=secret")


@pytest.fixture
def host() -> Iterator[str]:
    """The address of a server with one empty bucket that everybody may read."""
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    address, port = server.get_host_and_port()
    url = f"http://{address}:{port}"
    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
    client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **keys)
    client.create_bucket(Bucket="bucket")
    client.put_bucket_policy(Bucket="bucket", Policy=json.dumps(POLICY))
    yield url
    server.stop()


def on(host: str, text: str) -> str:
    """A text of the page, with the server's names."""
    return text.replace("https://HOST", host).replace("BUCKET", "bucket")


def remotes(host: str) -> list[list[str]]:
    """The page's commands that set the two remotes."""
    (block,) = re.findall(r"^```\n(dvc remote add --default .*?)^```", PAGE, re.DOTALL | re.M)
    return [line.split() for line in on(host, block).splitlines() if line.startswith("dvc ")]


def test_a_clone_pulls_a_study_from_a_bucket_and_has_nothing_to_do(
    finished: Path, host: str, planned: Plan, tmp_path: Path
) -> None:
    commands = remotes(host)
    keys = [command for command in commands if "--local" in command]
    assert 0 < len(keys) < len(commands)
    for command in (*commands, ["dvc", "repro"], ["git", "add", "-A"]):
        run(finished, *command)
    run(finished, "git", "commit", "-q", "-m", "results")
    assert "secret" not in run(finished, "git", "show", "HEAD:.dvc/config")
    push = ("dvc", "push", "--remote", "writable")
    assert "pushed" in run(finished, *push)
    assert "pushed" not in run(finished, *push)

    for name, own, remote in (("reader", [], "public"), ("writer", keys, "writable")):
        run(tmp_path, "git", "clone", "-q", str(finished), name)
        clone = tmp_path / name
        assert planned(clone)["train"] > 0
        for command in own:
            run(clone, *command)
        assert (clone / ".dvc/config.local").exists() == bool(own)
        run(clone, "dvc", "pull", *(["--remote", remote] if own else []))
        assert planned(clone) == {}
        assert json.loads(run(clone, "dvc", "status", "--json")) == {}
        run(clone, "git", "diff", "--exit-code")


def test_a_workflow_publishes_results_and_does_so_once(
    finished: Path, host: str, planned: Plan
) -> None:
    (workflow,) = re.findall(r"^```python\n(storage:.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    (finished / "publish.smk").write_text(on(host, workflow))
    (command,) = re.findall(r"^snakemake --snakefile publish.smk .*$", PAGE, re.MULTILINE)
    publish = (*KEYS, *on(host, command).split())
    run(finished, *publish)
    table = finished / "results/default/tables/main.csv"
    with urllib.request.urlopen(f"{host}/bucket/default/tables/main.csv") as answer:
        assert answer.read() == table.read_bytes()
    assert "Nothing to be done" in run(finished, *publish, "-n")


def test_storage_for_all_files_is_refused(finished_tree: Path, host: str) -> None:
    storage = ("--storage-s3-endpoint-url", host, "--default-storage-provider", "s3")
    prefix = ("--default-storage-prefix", "s3://bucket/default")
    command = (*KEYS, "snakemake", "-n", "--cores", "2")
    said = run(finished_tree, *command, *storage, *prefix, expect=1)
    assert "--default-storage-provider s3 does not work here" in said
    assert "docs/storage.md" in said
