#!/usr/bin/env bash
# build.sh builds etcd and the Kubernetes programs for the end-to-end tests and
# prints the directory that holds them:
#
#	PATH=$(e2e/tools/build.sh):$PATH kubectl version --client
#
# The directory is named by a hash of everything the result depends on, so a
# second call returns at once and a change of version builds beside the old one.
# From nothing the build takes about 25 minutes of processor time, 4 GB of
# memory for the link and 5 GB of disk for Go's caches.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

programs=(etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl)

# The programs report their version from these variables; without them they
# would call themselves v0.0.0-master.
version=$(sed -n 's#^\tk8s.io/kubernetes \(v[0-9.]*\).*#\1#p' go.mod)
minor=${version#v1.}
minor=${minor%%.*}
ldflags="-s -w"
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
	for pair in "gitVersion=$version" gitMajor=1 "gitMinor=$minor" gitTreeState=clean \
		gitCommit=none buildDate=1970-01-01T00:00:00Z; do
		ldflags+=" -X $package.$pair"
	done
done
export CGO_ENABLED=0

key=$({
	go env GOVERSION GOOS GOARCH
	echo "$ldflags"
	cat go.mod go.sum ./*.go build.sh
} | sha256sum | cut -c1-16)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/usher-e2e
result=$cache/$key

if [ ! -x "$result/kube-apiserver" ]; then
	mkdir -p "$cache"
	# Two callers at once would compile the same thing twice, at half the speed.
	exec 9>"$cache/$key.lock"
	flock 9
fi
if [ ! -x "$result/kube-apiserver" ]; then
	echo "building etcd and Kubernetes $version into $result" >&2
	unfinished=$(mktemp -d "$cache/$key.XXXXXX")
	trap 'rm -rf "$unfinished"' EXIT
	nice -n 19 go build -trimpath -ldflags "$ldflags" -o "$unfinished/tools" . >&2
	for program in "${programs[@]}"; do
		ln -s tools "$unfinished/$program"
	done
	chmod 755 "$unfinished"
	mv -T "$unfinished" "$result"
	trap - EXIT
fi
echo "$result"
