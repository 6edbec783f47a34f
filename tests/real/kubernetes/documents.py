"""Prints the YAML documents of the input as JSON. Where versions of Kubernetes are named, each document is held against
their schemas first."""

import json
import pathlib
import sys

import jsonschema
import kubernetes_validate
import yaml

documents = [document for document in yaml.safe_load_all(sys.stdin) if document]
for version in sys.argv[1:]:
    for document in documents:
        if document["kind"] == "ServiceMonitor":
            # Not of Kubernetes; the fields that we use, as the Prometheus Operator describes them.
            schema = pathlib.Path(__file__).with_name("servicemonitor.json").read_text()
            jsonschema.validate(document, json.loads(schema))
        else:
            kubernetes_validate.validate(document, version, strict=True)
json.dump(documents, sys.stdout)
