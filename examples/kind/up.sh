#!/usr/bin/env bash
# up.sh makes a cluster with kind, builds Usher's image from this checkout, installs the chart and asks an application for an answer.
# It needs docker, kind, kubectl and helm. `kind delete cluster --name usher` takes all of it away.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

kind get clusters | grep -qx usher || kind create cluster --name usher --config cluster.yaml
docker build --tag usher:kind ../..
kind load docker-image usher:kind --name usher
helm upgrade --install usher ../../charts/usher --kube-context kind-usher --namespace usher --create-namespace -f values.yaml --wait
kubectl --context kind-usher apply -f app.yaml
kubectl --context kind-usher rollout status deployment/hello
curl --fail --silent --show-error --retry 10 --retry-all-errors --retry-delay 1 -H 'Host: hello.localhost' http://127.0.0.1:8080/hostname
