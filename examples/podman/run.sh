#!/bin/sh
# run.sh GATEWAY-IMAGE SERVER-IMAGE: a gateway and a server on an mcpnet network of Podman 4.5 or later (netavark).
# Needs root and `mcpnet install --netavark`.
set -eu

podman network create -d mcpnet --subnet 172.20.0.0/16 --gateway 172.20.0.1 \
	-o mcpnet.gateway=172.20.0.100:8080 mcp-secure
podman run -d --name gateway --network mcp-secure --ip 172.20.0.100 "$1"
podman run -d --name server --network mcp-secure --add-host gateway:172.20.0.100 "$2"
