# The two commands for a newcomer are `make demo` and `make test`.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
PY      := .cache/venv/bin/python
NODE    := .cache/node/node_modules
JAVA    := .cache/java/.done
SERVERS := .cache/services/.done

.PHONY: help demo dev-distributed test test-distributed short build bench bench-cluster criteria fmt lint check-fmt deps race fuzz docs clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 18

# Built first: go run calls an end by Ctrl-C a failure.
demo: ## the main job on real input, with nothing installed but Go
	@$(GO) build -o .cache/bin/tocsin ./cmd/tocsin
	@.cache/bin/tocsin demo

dev-distributed: ## Kafka, PostgreSQL and a hub over them, until Ctrl-C; RUN='program' runs in place of the hub
	@$(GO) build -o .cache/bin/services ./test/services/cmd/services
	@.cache/bin/services kafka postgres -- $(or $(RUN),deploy/dev)

build: ## the program and the simulators, static, into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/tocsin ./cmd/hubsim

test: deps lint ## install what the tests need, then run all of them, those of the whole program in both modes
	$(GO) test -timeout 15m ./...
	TOCSIN_E2E_MODE=distributed $(GO) test -timeout 10m ./test/e2e/...

test-distributed: deps ## the tests of the whole program over real Kafka and PostgreSQL, with several nodes; TOCSIN_E2E_FULL=1 for full load
	TOCSIN_E2E_MODE=distributed $(GO) test -timeout 10m -v ./test/e2e/...

short: ## the quick tests only
	$(GO) test -short -timeout 5m ./...

race: ## all tests under the race detector
	$(GO) test -race -timeout 30m ./...

deps: $(PY) $(NODE)/.done $(JAVA) $(SERVERS) ## other people's verifiers and servers, for the tests

$(PY): test/conformance/requirements.txt
	@if command -v python3 >/dev/null; then \
	  python3 -m venv .cache/venv && .cache/venv/bin/pip install --quiet --disable-pip-version-check -r $< && touch $@; \
	elif [ "$$CI" = true ]; then echo "python3 is missing" >&2; exit 1; \
	else echo "NOTE: python3 is missing: the conformance tests in Python are skipped; install python3 with venv" >&2; fi

$(NODE)/.done: test/conformance/package.json
	@if command -v npm >/dev/null; then \
	  mkdir -p .cache/node && cp test/conformance/package.json .cache/node/ && npm install --silent --no-audit --no-fund --prefix .cache/node && touch $@; \
	elif [ "$$CI" = true ]; then echo "npm is missing" >&2; exit 1; \
	else echo "NOTE: npm is missing: the conformance tests in JavaScript are skipped; install Node.js" >&2; fi

$(JAVA): test/conformance/pom.xml
	@if command -v mvn >/dev/null; then \
	  mvn -q -B -f $< dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/.cache/java && touch $@; \
	elif [ "$$CI" = true ]; then echo "mvn is missing" >&2; exit 1; \
	else echo "NOTE: mvn is missing: the conformance tests in Java are skipped; install Maven" >&2; fi

$(SERVERS): test/services/pom.xml test/services/SHA256SUMS
	@mkdir -p $(@D) && $(GO) run ./test/services/cmd/services -fetch -mark $@

bench: build ## measure this machine and the hub on it, side by side
	$(GO) run ./test/bench $(BENCH)

bench-cluster: deps ## the same for one, two and three nodes over Kafka and PostgreSQL
	$(GO) run ./test/bench --only cluster $(BENCH)

criteria: deps ## show the acceptance criteria of docs/criteria.md at full size, with a report of each
	$(GO) run ./test/criteria $(if $(ONLY),--only $(ONLY))

fmt: ## format all code
	$(GO) tool -modfile=tools/go.mod gofumpt -w .

check-fmt:
	@out=$$($(GO) tool -modfile=tools/go.mod gofumpt -l .); if [ -n "$$out" ]; then echo "not formatted, run make fmt:"; echo "$$out"; exit 1; fi

lint: check-fmt ## format, vet and staticcheck
	$(GO) vet ./...
	$(GO) tool -modfile=tools/go.mod staticcheck ./...

fuzz: ## each fuzz target for 30 s
	@for p in $$(grep -rl 'func Fuzz' --include=*_test.go . | xargs -n1 dirname | sort -u); do \
	  for f in $$(grep -ho 'func Fuzz[A-Za-z0-9_]*' $$p/*_test.go | cut -d' ' -f2); do \
	    $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime 30s -fuzzminimizetime 10x $$p || exit 1; done; done

docs: ## write the generated pages again
	$(GO) test ./configs ./internal/ops -run 'Docs|Generated' -update

clean:
	rm -rf bin .cache bench-results tocsin-data
