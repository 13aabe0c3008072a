# 开标 kaibiao. `make test` is what every change must pass; `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

GO          ?= go
STATICCHECK ?= honnef.co/go/tools/cmd/staticcheck@v0.8.2
PROGRAMS    := kaibiao kaibiao-bid kaibiao-custodian kaibiao-audit

# What a browser will run: no disk, no network.
PURE := ./crypto/... ./timestamp ./timestamp/tlog ./opening ./opening/bidder

FUZZTIME ?= 60s
PARALLEL ?= 1

.PHONY: help test tools fmt vet static wasm unit process demo build fuzz clean

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 12

test: tools fmt vet static wasm unit ## everything that a change must pass

# Peers of the tests, installed where they are missing. Needs apt and the right to use it.
tools:
	@command -v openssl >/dev/null || $(MAKE) --no-print-directory install-openssl

.PHONY: install-openssl
install-openssl:
	apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 update
	DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 \
		install -y --no-install-recommends openssl

fmt: ## fail if a Go file is not formatted
	@bad=$$(gofmt -l cmd crypto e2e hsm opening timestamp ws); \
	if [ -n "$$bad" ]; then echo "not formatted, run gofmt -w:"; echo "$$bad"; exit 1; fi

vet: ## go vet and staticcheck
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

# The programs are static: nothing on the machine they run on is needed.
static:
	CGO_ENABLED=0 $(GO) build ./...

wasm: ## the packages that a browser will run, as a browser sees them
	GOOS=js GOARCH=wasm $(GO) vet $(PURE)

# Tests of whole systems run by the clock: they run after the others, two at a time. The two that need a machine for
# themselves are in `make process`.
ALONE := TestNoSecretIsPrinted|TestNothingTellsOfBidsAcrossProcesses

unit: ## all tests, with the race detector
	$(GO) test -race -p 2 -timeout 20m $$($(GO) list ./... | grep -v '/e2e$$')
	$(GO) test -count=1 -parallel 2 -timeout 40m -skip '$(ALONE)' ./e2e

process: ## the tests across processes that need a machine for themselves
	$(GO) test -count=1 -parallel 1 -timeout 40m -run '$(ALONE)' -v ./e2e

demo: ## a whole opening on this machine
	$(GO) run ./cmd/kaibiao demo

build: ## the programs, static, in bin/
	@mkdir -p bin
	for p in $(PROGRAMS); do CGO_ENABLED=0 $(GO) build -trimpath -o bin/$$p ./cmd/$$p; done

# `make fuzz FUZZTIME=10m` for longer; one after the other, so that each has the machine to itself.
fuzz: ## every fuzz target for FUZZTIME
	for pkg in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "== $$pkg $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x -parallel $(PARALLEL) $$pkg; \
		done; \
	done

clean: ## what was built
	rm -rf bin
