# mcpnet: `make help` says what there is.
export CGO_ENABLED := 0
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
PREFIX ?= /usr/local
# Git refuses to look into the tree of another user; a version is not worth a failure.
VCS := $(if $(shell git status --porcelain 2>/dev/null >/dev/null && echo yes),auto,false)
GOBUILD := go build -trimpath -buildvcs=$(VCS) -ldflags '-s -w'
# Packages without effects, those of files, and the relay: cheap enough for the race detector.
PURE := $(addprefix ./,$(wildcard internal/policy internal/problem internal/surface internal/request internal/topology internal/firewall internal/firewall/explain internal/plan internal/report internal/admission internal/store internal/store/internal/format internal/atomicfile internal/attest internal/oci internal/router internal/router/dnsmsg internal/router/filter internal/router/hello internal/router/relay internal/router/roster))
# Engines, namespaces and packages need root; everything else keeps its environment.
AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo -E env HOME=/root "PATH=$(PATH)" "GOENV=$(shell go env GOENV)")
say = @echo "== $(1)"

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s%s\n", $$1, $$2}' Makefile

build: ## build/mcpnet-plugin, build/mcpnet-cni, build/mcpnet-runtime and build/mcpnet
	$(GOBUILD) -o build/mcpnet-plugin ./plugin
	$(GOBUILD) -o build/mcpnet-cni ./cni
	$(GOBUILD) -o build/mcpnet-runtime ./hook
	$(GOBUILD) -o build/mcpnet ./cmd/mcpnet

rootfs: build ## build/plugin: what `docker plugin create` takes
	scripts/plugin-rootfs.sh build/plugin/rootfs build/mcpnet-plugin
	cp config.json build/plugin/config.json

plugin: rootfs ## the plugin, installed into the engine at DOCKER_HOST
	scripts/plugin-install.sh build/plugin

install: plugin install-host ## the plugin as above, and the command as below

install-host: build ## the command into PREFIX/bin, and what `mcpnet install` installs, for hosts without Docker
	install -D -m 755 build/mcpnet $(DESTDIR)$(PREFIX)/bin/mcpnet
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/libexec/mcpnet build/mcpnet-cni build/mcpnet-plugin build/mcpnet-runtime

demo: deps ## what a server reaches, and what not (in an engine of its own, or at DOCKER_HOST)
	$(if $(DOCKER_HOST),,$(AS_ROOT) scripts/engine-tree.sh sid)
	$(AS_ROOT) go run ./test/demo

test: deps ## everything that CI runs
	$(if $(AS_ROOT),$(AS_ROOT) $(MAKE) checked,@$(MAKE) --no-print-directory checked)

checked: lint build
	scripts/engine-tree.sh bookworm sid firewalls
	scripts/cni-tools.sh
	$(call say,race detector)
	CGO_ENABLED=1 go test -vet=off -race -count=1 $(PURE)
	CGO_ENABLED=1 go test -vet=off -race -count=1 -run 'TestConcurrent|TestWatchRepairs|TestSuccessor|TestLockDeadline|TestServer|TestCallsWait|TestBroken' ./internal/resident ./internal/percall ./plugin
	$(call say,all other tests but those with Docker engines)
	go test -vet=off -p 1 -count=1 -timeout 20m $$(go list ./... | grep -vE '/test/(docker|docs)$$' | grep -vxF "$$(go list $(PURE))")
	$(call say,tests with Docker engines)
	go test -vet=off -v -count=1 -timeout 40m -p 1 ./test/docs ./test/docker
	scripts/leftovers.sh

test-engines: deps ## the tests with real engines, on every version there is (builds Docker 29)
	$(AS_ROOT) scripts/engine-tree.sh bookworm sid moby29 firewalls firewalls-sid
	$(AS_ROOT) scripts/cni-tools.sh
	$(AS_ROOT) env MCPNET_ENGINES=20.10,28.5,29 MCPNET_FIREWALLD=1.3,2 \
		go test -p 1 -count 1 -timeout 60m -v ./internal/testengine ./internal/firewalld ./test/...
	$(AS_ROOT) env MCPNET_ENGINES=29-nftables \
		go test -p 1 -count 1 -timeout 60m -v -run 'TestScenario|TestLeaks|TestLife|TestFaultsHost' ./test/docker

test-vm: ## packet tests on stock kernels in virtual machines (KERNELS="bullseye bookworm trixie sid")
	@scripts/deps.sh vm
	$(AS_ROOT) scripts/test-vm.sh $(KERNELS)

test-vm-host: rootfs ## a host with systemd, Docker, firewalld, ufw in a virtual machine (PARTS="plain ufw nftables firewalld reboot")
	@scripts/deps.sh vm
	$(AS_ROOT) scripts/test-vm-host.sh

bench: deps build ## mcpnet beside its peers, into docs/benchmarks.md (about half an hour)
	$(AS_ROOT) scripts/engine-tree.sh sid bookworm
	$(AS_ROOT) scripts/cni-tools.sh
	$(AS_ROOT) go run ./test/bench

lint: ## gofmt, vet, staticcheck, shellcheck
	$(call say,lint)
	@files=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go' 2>/dev/null || find . -name '*.go')); \
		if [ -n "$$files" ]; then echo "gofmt: $$files"; exit 1; fi
	go vet ./...
	go run $(STATICCHECK) ./...
	shellcheck scripts/*.sh scripts/vm/* .ci/run

golden: ## write the golden files of tests anew
	$(AS_ROOT) go test $$(grep -rl --include='*_test.go' 'flag.Bool("update"' . | xargs -n 1 dirname | sort -u) -update

deps: ## what building and testing needs, on Debian and Ubuntu
	@scripts/deps.sh

clean: ## build/, and nothing else
	rm -rf build

.PHONY: help build rootfs plugin install install-host demo test checked test-engines test-vm test-vm-host bench lint golden deps clean
