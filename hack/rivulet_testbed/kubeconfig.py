"""Kubeconfigs with everything inside, so that a copy works anywhere. Pure."""

import base64
import json


def render(region: str, server: str, user: str, pem: dict[str, bytes]) -> str:
    """Render a kubeconfig (JSON is YAML) from PEM ``ca``, ``crt`` and ``key``; its context has the region's name."""
    encoded = {name: base64.b64encode(content).decode() for name, content in pem.items()}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": region, "cluster": {"server": server, "certificate-authority-data": encoded["ca"]}}],
        "users": [
            {
                "name": f"{user}@{region}",
                "user": {"client-certificate-data": encoded["crt"], "client-key-data": encoded["key"]},
            }
        ],
        "contexts": [{"name": region, "context": {"cluster": region, "user": f"{user}@{region}"}}],
        "current-context": region,
    }
    return json.dumps(config, indent=1)
