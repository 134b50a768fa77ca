# Usher's tasks. All they need besides Go, git and a C compiler (for the race
# detector) they build themselves, into CACHE.

GO ?= go
CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/usher-tools
BENCHFLAGS ?=
CONFORMANCEFLAGS ?=
# Allocations and memory, which the race detector would distort, are counted without it.
BUDGETS := ./pkg/http1 ./pkg/pool ./pkg/proxy ./pkg/route ./pkg/server
FUZZTIME ?= 30s

GOLANGCI_LINT := $(CACHE)/golangci-lint-v2.15.0
GOVULNCHECK := $(CACHE)/govulncheck-v1.9.0
SBOM := $(CACHE)/cyclonedx-gomod-v1.10.0

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
COMMIT ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)

# How programs are built that others get: the same source gives the same bytes, with the toolchain that go.mod names.
TOOLCHAIN := $(shell sed -n 's/^toolchain //p' go.mod)
RELEASE := -trimpath -buildvcs=false -ldflags '-s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)'

.DEFAULT_GOAL := help
.PHONY: help build test race lint bench soak docs e2e e2e-node conformance demo fuzz image release clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/usher
	CGO_ENABLED=0 $(GO) build $(RELEASE) -o bin/usher ./cmd/usher

demo: ## serve a small example on this machine and print requests to try
	$(GO) run ./cmd/usher demo

test: ## run all tests but the end-to-end ones, with the race detector
	$(GO) test -race ./...
	$(GO) test -run 'Alloc|MemoryOf' $(BUDGETS)

race: ## run the tests three times over, in random order, with the race detector
	$(GO) test -race -count=3 -shuffle=on ./...

lint: $(GOLANGCI_LINT) $(GOVULNCHECK) ## check style, common mistakes and known vulnerabilities
	$(GOLANGCI_LINT) run ./...
	.ci/vulncheck $(GOVULNCHECK)

bench: ## compare with nginx, haproxy and others, side by side (BENCHFLAGS)
	e2e/bench/run $(BENCHFLAGS)

soak: ## a million requests over a thousand swaps, without a failure or a leak (minutes)
	$(GO) test -tags soak -count=1 -timeout 60m -v ./e2e/soak

fuzz: ## run each fuzz target for FUZZTIME (30s)
	.ci/fuzz $(FUZZTIME)

docs: ## write the generated parts of the documentation anew
	$(GO) generate ./...

e2e: ## run the end-to-end tests against a real API server (the first run builds it)
	$(GO) test -tags e2e -count=1 -p 1 -timeout 60m $$($(GO) list -tags e2e ./e2e/... | grep -v /e2e/node)

e2e-node: ## run Usher on a real Kubernetes node, installed by its chart; needs root, and says what else
	$(GO) test -tags e2e -count=1 -timeout 15m -v ./e2e/node

conformance: ## check Ingress v1: of Usher into e2e/conformance/REPORT.md, or of any controller (CONFORMANCEFLAGS)
ifeq ($(CONFORMANCEFLAGS),)
	$(GO) test -tags e2e -count=1 -run '^TestConformance$$' ./e2e -conformance-report $(CURDIR)/e2e/conformance/REPORT.md
else
	$(GO) run ./e2e/conformance/run $(CONFORMANCEFLAGS)
endif

image: ## write bin/usher-image.tar, the image for amd64 and arm64 as an OCI layout; needs no container engine
	for arch in amd64 arm64; do \
		GOTOOLCHAIN=$(TOOLCHAIN) CGO_ENABLED=0 GOARCH=$$arch $(GO) build $(RELEASE) -o bin/usher-linux-$$arch ./cmd/usher || exit; \
	done
	$(GO) run ./e2e/image/build -name usher:$(VERSION) -o bin/usher-image.tar amd64=bin/usher-linux-amd64 arm64=bin/usher-linux-arm64

release: $(SBOM) ## write dist/, all files of the release VERSION: programs, SBOMs, image, chart, checksums
	CGO_ENABLED=0 $(GO) build -C e2e/helm -trimpath -o $(CURDIR)/bin/helm helm.sh/helm/v4/cmd/helm
	GOTOOLCHAIN=$(TOOLCHAIN) .ci/release $(VERSION) dist $(SBOM) bin/helm

clean: ## remove what the tasks have built here; the caches stay
	rm -rf bin dist
	$(GO) clean -testcache

$(CACHE)/golangci-lint-%:
	$(call install,github.com/golangci/golangci-lint/v2/cmd/golangci-lint,$*)

$(CACHE)/cyclonedx-gomod-%:
	$(call install,github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod,$*)

$(CACHE)/govulncheck-%:
	$(call install,golang.org/x/vuln/cmd/govulncheck,$*)

# install PACKAGE,VERSION builds a tool aside and renames it, so that an
# interrupted build leaves nothing that looks finished.
define install
	@mkdir -p $(CACHE)
	new=$$(mktemp -d $(CACHE)/new.XXXXXX) && trap 'rm -rf $$new' EXIT && \
	GOBIN=$$new nice -n 10 $(GO) install $(1)@$(2) && mv $$new/* $@
endef
