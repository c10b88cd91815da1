# Every command that a developer of Meshfleet needs. `make` alone lists them.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

GO ?= go
# Builds must not depend on the state of the working tree, nor fail when git refuses to read somebody else's clone.
export GOFLAGS := $(GOFLAGS) -buildvcs=false
# The clusters of lab-up, and the Istio release (or releases, separated by commas) whose images it loads.
CLUSTERS ?= hub,east,west
ISTIO ?= 1.31.0
# More flags of labctl up.
LABFLAGS ?= --cert-manager-on hub
# The name that the image gets.
IMAGE ?= meshfleet/meshfleet:dev
# Where the operator and its image are built, and more flags of the linker. Tests build an operator that differs.
IMAGEDIR ?= bin
LDFLAGS ?=
# The version and the commit in the binary. Only a release has them, so that other builds depend on nothing but the sources.
STAMP =
# The version of the operator in its packages.
VERSION ?= 0.1.0
# More flags of `packaging bundle` and `packaging catalog`, for example BUNDLEFLAGS='--image registry.example.com/meshfleet@sha256:… --release'.
BUNDLEFLAGS ?=
CATALOGFLAGS ?=
# The image with the bundle, for the catalog. By default it is beside the operator's.
BUNDLE_IMAGE ?=
# Where the generators write; make verify-generated points it elsewhere.
OUT ?= .
# Packages and names of the tests that `make test` and `make unit` run, for example PKG=./internal/gate/builtin RUN=TestPeers. All by default.
PKG ?=
RUN ?= .
# More flags for go test, for example GOTESTFLAGS='-v -count=1'.
GOTESTFLAGS ?=
# Numbers of members that `make bench-members` measures.
export SIZES ?= 200
# More flags of the operator that `make run` starts, for example RUNFLAGS=--zap-log-level=info.
RUNFLAGS ?=
# The version of a release, without v: that of the Git tag of the commit, unless VERSION is given. ALLOW_DIRTY=1 accepts files that differ from
# the commit.
RELEASE_VERSION = $(if $(filter command environment,$(origin VERSION)),$(VERSION))
ALLOW_DIRTY ?=
# 1 accepts images of Istio that have no digest in hack/packaging/images.yaml.
ALLOW_UNPINNED ?=
# The name of the image in a release, its architectures, and where the artefacts are written.
RELEASE_IMAGE ?= ghcr.io/meshfleet/meshfleet
RELEASE_ARCHES ?= amd64 arm64
RELEASEDIR ?= dist/release
# Who builds a release, and in which run: URIs for its provenance.
BUILDER ?= https://github.com/meshfleet/meshfleet/blob/main/Makefile
INVOCATION ?=
# Where `make release` builds what goes into the image.
RELEASEWORK ?= bin/release

TOOL := $(GO) tool -modfile=hack/tools/go.mod
LINT := $(GO) tool -modfile=hack/tools/lint/go.mod golangci-lint
BUILD = CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -buildid= $(STAMP) $(LDFLAGS)"
BUILDPACKAGE := github.com/meshfleet/meshfleet/internal/build
PACKAGING := cd hack/packaging && $(GO) run .
comma := ,
space := $(subst ,, )
# amd64=PATH,arm64=PATH
RELEASE_BINARIES = $(subst $(space),$(comma),$(foreach arch,$(RELEASE_ARCHES),$(arch)=$(abspath $(RELEASEWORK))/$(arch)/manager))
RELEASEFLAGS = $(if $(ALLOW_DIRTY),--allow-dirty) $(if $(ALLOW_UNPINNED),--allow-unpinned)
# Go modules of this repository besides the main one.
MODULES := hack/lab hack/image hack/packaging
# Modules whose tests take minutes to build: the engine of Argo CD, and the health checks of Flux.
GITOPS_MODULES := test/argocd test/flux

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "; printf "Usage: make <target>\n"} \
	  /^##@ / {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-zA-Z0-9_-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

##@ See it work (Linux, root)

.PHONY: demo
demo: labctl charts image ## Bring up three clusters, install the operator, join east and west into one mesh, prove it (75 s; 30 min the first time)
	$(GO) run ./test/demo

.PHONY: demo-upgrade
demo-upgrade: labctl charts image ## Upgrade a mesh of three clusters in waves while requests flow, and count what is lost
	$(GO) run ./test/demo upgrade

.PHONY: demo-down
demo-down: lab-down ## Remove everything that the demo started

.PHONY: lab-up
lab-up: labctl ## Bring up the lab's clusters (CLUSTERS=hub,east,west ISTIO=1.31.0)
	bin/labctl up --clusters $(CLUSTERS) --istio $(ISTIO) $(LABFLAGS)

.PHONY: deploy
deploy: labctl image ## Build the operator and put it into the lab that runs, with its manifests (10 s)
	bin/labctl load-image --clusters hub bin/meshfleet.tar
	kubectl="$$(bin/labctl env)/kubectl --kubeconfig bin/lab/hub.kubeconfig"; \
	  $$kubectl apply --server-side --force-conflicts -k config/default && \
	  $$kubectl -n meshfleet-system rollout restart deployment/meshfleet-controller-manager && \
	  $$kubectl -n meshfleet-system rollout status deployment/meshfleet-controller-manager --timeout 2m

.PHONY: run
run: labctl build charts ## Run the operator on this machine against the lab that runs; its pod keeps only the webhooks (RUNFLAGS=)
	hack/run.sh $(RUNFLAGS)

.PHONY: lab-down
lab-down: labctl ## Remove the lab's clusters
	bin/labctl down

##@ Check

.PHONY: unit
unit: charts ## Run the unit tests: no API server, no root (97 s; PKG= RUN=)
	$(GO) test -timeout 20m -run '$(RUN)' -skip 'AtAnAPIServer$$' $(GOTESTFLAGS) $(or $(PKG),$$($(GO) list ./... | grep -v -e '/test/e2e' -e '/test/bench' -e '/test/envtest'))

.PHONY: test
test: labctl charts ## Run unit tests, CEL cases and tests against real API servers (6 min; PKG= RUN=)
	assets="$$(bin/labctl env)"; export KUBEBUILDER_ASSETS="$$assets"; \
	  export KUBE_CACHE_MUTATION_DETECTOR=true; \
	  $(GO) test -timeout 20m -run '$(RUN)' $(GOTESTFLAGS) $(or $(PKG),$$($(GO) list ./... | grep -v -e '/test/e2e' -e '/test/bench'))
	$(if $(PKG),,for module in $(MODULES); do (cd $$module && $(GO) test -timeout 10m -run '$(RUN)' $(GOTESTFLAGS) ./...); done)

.PHONY: test-gitops
test-gitops: ## Run the health checks and actions in the engines of Argo CD and Flux, whose first build takes minutes; lint these tests
	for module in $(GITOPS_MODULES); do (cd $$module && $(GO) test -timeout 20m -run '$(RUN)' $(GOTESTFLAGS) ./... && \
	  $(GO) tool -modfile=$(CURDIR)/hack/tools/lint/go.mod golangci-lint run --config $(CURDIR)/.golangci.yml ./...); done

.PHONY: e2e
e2e: labctl charts image ## Run the end-to-end tests in the lab, with 1.30.4 and 1.31.0 (18 min; Linux, root)
	$(GO) test -tags e2e ./test/e2e/... -count=1 -v -timeout 60m $(GOTESTFLAGS)

.PHONY: e2e-upgrades
e2e-upgrades: labctl charts image ## Run the upgrade test with everything that an upgrade can meet, from 1.28.3 to 1.29.1 (90 min)
	$(GO) test -tags e2e,upgrades ./test/e2e/... -run TestUpgrade -count=1 -v -timeout 130m $(GOTESTFLAGS)

.PHONY: e2e-discovery
e2e-discovery: labctl charts image ## Renew reader tokens many times under load, with 1.29.1 (about 8 min)
	$(GO) test -tags e2e,upgrades ./test/e2e/... -run TestDiscovery -count=1 -v -timeout 100m $(GOTESTFLAGS)

.PHONY: e2e-hops
e2e-hops: labctl charts image ## Upgrade over three minor versions by one change of the spec, in three steps and in two (40 min)
	$(GO) test -tags e2e,upgrades ./test/e2e/... -run TestHops -count=1 -v -timeout 90m $(GOTESTFLAGS)

.PHONY: e2e-charts
e2e-charts: labctl charts image ## Upgrade to a patch whose charts are in a registry, and take the registry away (8 min)
	$(GO) test -tags e2e,upgrades ./test/e2e/... -run TestCharts -count=1 -v -timeout 40m $(GOTESTFLAGS)

.PHONY: e2e-packaging
e2e-packaging: labctl charts image ## Let OLM install and update the operator, and Argo CD a mesh (40 min; both are built first)
	bin/labctl build --istio 1.30.4,1.31.0 --argo-cd
	$(GO) test -tags e2e,packaging ./test/e2e/... -run 'TestOLM|TestArgoCD' -count=1 -v -timeout 130m $(GOTESTFLAGS)

.PHONY: e2e-release
e2e-release: labctl charts image ## Install a release from its files alone, by manifests and by Helm; update it, hand over between replicas, remove it
	$(GO) test -tags e2e,packaging ./test/e2e/... -run TestRelease -count=1 -v -timeout 60m $(GOTESTFLAGS)

.PHONY: test-opm
test-opm: ## Check a catalog, and what it has of a bundle, with opm itself, which is built first
	cd hack/packaging && $(GO) test -tags opm -run TestOPM -count=1 -v -timeout 60m $(GOTESTFLAGS) .

.PHONY: bench
bench: labctl charts image ## Measure the time to a ready mesh against a scripted install (Linux, root)
	$(GO) test -tags bench ./test/bench -count=1 -v -timeout 60m $(GOTESTFLAGS)

.PHONY: bench-members
bench-members: labctl charts ## Measure what hundreds of played members cost on the hub (SIZES=200,1000; 2 min for 200)
	assets="$$(bin/labctl env)"; export KUBEBUILDER_ASSETS="$$assets"; \
	  $(GO) test -tags bench ./test/bench/members -run TestPlayedMembers -count=1 -v -timeout 120m $(GOTESTFLAGS)

.PHONY: lint
lint: charts verify-generated verify-manifests verify-modules ## Run the linters; fail when a generated file is out of date (1 min)
	$(LINT) run --build-tags e2e,bench,upgrades,packaging ./...
	for module in $(MODULES); do (cd $$module && \
	  $(GO) tool -modfile=$(CURDIR)/hack/tools/lint/go.mod golangci-lint run --config $(CURDIR)/.golangci.yml ./...); done

.PHONY: fmt
fmt: ## Format the Go sources
	$(LINT) fmt ./...

.PHONY: verify-generated
verify-generated: ## Fail when a generated file differs from what the generators write
	@rm -rf bin/.generated && $(MAKE) generate OUT=bin/.generated >/dev/null
	@hack/verify-generated.sh bin/.generated

.PHONY: verify-manifests
verify-manifests: ## Build every kustomization
	@for k in $$(find config -name kustomization.yaml -exec dirname {} \; | sort); do \
	  $(TOOL) kustomize build "$$k" >/dev/null || { echo "kustomize build $$k failed" >&2; exit 1; }; done

.PHONY: verify-modules
verify-modules: ## Fail when a module requires what no code imports, or imports what it does not require
	@for module in . $(MODULES); do (cd $$module && $(GO) mod tidy -diff) || { echo "run go mod tidy in $$module" >&2; exit 1; }; done

##@ Generate

.PHONY: generate
generate: manifests argocd-cm ## Write everything that is generated: deep copies, manifests, permissions, API reference, Argo CD's settings, packages
	@mkdir -p $(OUT)/docs
	$(TOOL) crd-ref-docs --log-level=WARN --renderer=markdown --config=hack/api-docs/config.yaml \
	  --source-path=api/v1alpha1 --output-path=$(OUT)/docs/api-reference.md
	@$(MAKE) bundle chart

.PHONY: chart
chart: ## Write the Helm chart from config: dist/chart (a part of generate)
	$(PACKAGING) chart --root $(CURDIR) --output $(abspath $(OUT))/dist/chart

# It comes before everything that compiles the API.
.PHONY: deepcopy
deepcopy: ## Write the deep copies of the API's types (a part of generate)
	@mkdir -p $(OUT)/api/v1alpha1
	$(TOOL) controller-gen object paths=./api/... output:object:dir=$(OUT)/api/v1alpha1

.PHONY: manifests
manifests: member-rbac ## Write CRDs, the operator's role and the webhook configuration from the markers in the code
	@mkdir -p $(OUT)/config/crd/bases $(OUT)/config/rbac $(OUT)/config/webhook
	$(TOOL) controller-gen crd paths=./api/... output:crd:dir=$(OUT)/config/crd/bases
	$(TOOL) controller-gen rbac:roleName=meshfleet-manager paths=./controllers/... paths=./webhooks/... output:rbac:dir=$(OUT)/config/rbac
	$(TOOL) controller-gen webhook paths=./webhooks/... output:webhook:dir=$(OUT)/config/webhook

.PHONY: member-rbac
member-rbac: deepcopy charts ## Write the permissions that a member's credential needs, from the charts
	@mkdir -p $(OUT)/config/member-rbac
	$(GO) run ./hack/memberrbac --charts bin/charts --output $(OUT)/config/member-rbac

.PHONY: argocd-cm
argocd-cm: ## Write the ConfigMaps for Argo CD from the scripts in config/argocd (a part of generate)
	@mkdir -p $(OUT)/config/argocd
	$(GO) run ./hack/argocd --output $(OUT)/config/argocd

.PHONY: api-docs
api-docs: generate ## Write docs/api-reference.md (a part of generate)

.PHONY: bundle
bundle: ## Write the OperatorHub bundle from config/: bundle (a part of generate; VERSION= BUNDLEFLAGS=)
	@$(PACKAGING) bundle --root $(CURDIR) --version $(VERSION) --output $(abspath $(OUT))/bundle $(BUNDLEFLAGS)

##@ Build

.PHONY: build
build: ## Build the operator: bin/manager, static
	$(BUILD) -o $(IMAGEDIR)/manager .

.PHONY: charts
charts: ## Package Istio's charts from its Go modules: bin/charts
	@$(GO) run ./hack/charts --output bin/charts

.PHONY: image
image: build charts ## Write the container image without Docker: bin/meshfleet.tar and bin/meshfleet-oci.tar
	cd hack/image && $(GO) run . --binary $(CURDIR)/$(IMAGEDIR)/manager --charts $(CURDIR)/bin/charts --name $(IMAGE) --output $(CURDIR)/$(IMAGEDIR)

.PHONY: catalog
catalog: bundle ## Write the catalog that offers the bundle to OLM, and check both: bin/catalog (VERSION= BUNDLEFLAGS= BUNDLE_IMAGE= CATALOGFLAGS=)
	@cd hack/packaging && \
	  $(GO) run . catalog --root $(CURDIR) --bundle $(abspath $(OUT))/bundle=$(BUNDLE_IMAGE) --output $(CURDIR)/bin/catalog $(CATALOGFLAGS) && \
	  $(GO) run . validate --root $(CURDIR) --bundle $(abspath $(OUT))/bundle --catalog $(CURDIR)/bin/catalog

.PHONY: labctl
labctl: ## Build the lab's tool: bin/labctl
	@cd hack/lab && $(GO) build -o ../../bin/labctl .

.PHONY: clean
clean: ## Remove what was built, but not the lab's caches or clusters
	rm -rf bin/manager bin/newcomer bin/run.kubeconfig bin/charts bin/.generated bin/.release bin/release bin/catalog bin/catalog.Dockerfile dist/release bin/meshfleet.tar bin/meshfleet-oci.tar

##@ Release

.PHONY: build-installer
build-installer: ## Write all manifests of config/default as one file: dist/release/install.yaml (IMAGE=)
	$(PACKAGING) installer --root $(CURDIR) --image $(IMAGE) --output $(abspath $(RELEASEDIR))/install.yaml

.PHONY: release
release: STAMP = -X $(BUILDPACKAGE).version=$$version -X $(BUILDPACKAGE).commit=$$commit
release: ## Write all artefacts of a release into dist/release (VERSION=1.2.3, or the Git tag; ALLOW_DIRTY=1 ALLOW_UNPINNED=1)
	@version="$$($(PACKAGING) version --root $(CURDIR) --version '$(RELEASE_VERSION)' $(RELEASEFLAGS))"; commit="$$(git rev-parse HEAD)"; \
	  rm -rf $(RELEASEWORK) $(RELEASEDIR); \
	  $(GO) run ./hack/charts --output $(RELEASEWORK)/charts; \
	  for arch in $(RELEASE_ARCHES); do GOOS=linux GOARCH=$$arch $(BUILD) -o $(RELEASEWORK)/$$arch/manager .; done; \
	  (cd hack/image && $(GO) run . --binary $(RELEASE_BINARIES) --charts $(abspath $(RELEASEWORK))/charts \
	    --name $(RELEASE_IMAGE):$$version --version $$version --revision $$commit --output $(abspath $(RELEASEWORK))); \
	  $(PACKAGING) release --root $(CURDIR) --output $(abspath $(RELEASEDIR)) --version $$version --image $(RELEASE_IMAGE) \
	    --image-archive $(abspath $(RELEASEWORK))/meshfleet-oci.tar --binaries $(RELEASE_BINARIES) --charts $(abspath $(RELEASEWORK))/charts \
	    --builder '$(BUILDER)' --invocation '$(INVOCATION)' $(RELEASEFLAGS)

.PHONY: verify-release
verify-release: release ## Build a release twice, the second time with an empty build cache, and compare all bytes
	@rm -rf bin/.release
	umask 077 && GOCACHE=$(CURDIR)/bin/.release/cache TZ=Pacific/Auckland \
	  $(MAKE) release RELEASEDIR=bin/.release/again RELEASEWORK=bin/.release/work
	diff --recursive --brief $(RELEASEDIR) bin/.release/again
	@echo "both builds have the same bytes"; rm -rf bin/.release
