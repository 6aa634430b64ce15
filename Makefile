# Everything needs Go and nothing but Go, and fetches nothing but Go modules.
# scripts/ensure-docker sees to the container engine where one is needed.

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  := -s -w -X main.version=$(VERSION)
PLATFORMS := amd64 arm64 arm/v7
IMAGE    ?= davit:$(VERSION)

# Static, stripped and the same from every directory.
STATIC   := CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)'

.DEFAULT_GOAL := help
.PHONY: help build test soak demo lint bench bench-edge image dist composer fidelity fidelity-reference clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## bin/davit, static and stripped
	$(STATIC) -o bin/davit ./cmd/davit

test: ## every test, the end-to-end tests on a real engine included
	scripts/ensure-docker
	scripts/ensure-balancers
	scripts/test

soak: ## the same again and again, and every fuzz target; SOAK=20 FUZZ=1m STORMS=30
	scripts/ensure-docker
	scripts/ensure-balancers
	scripts/soak

demo: build ## a story on a real engine that checks what it tells
	scripts/ensure-docker
	go run ./cmd/demo -davit bin/davit

lint: ## gofmt, go vet, staticcheck, shell syntax
	scripts/lint

bench: build ## the planner and the loader; 50 stacks on an engine of their own, needs root
	go test -run '^$$' -bench . -benchmem ./reconcile/... ./compose/...
	go run ./cmd/bench -davit bin/davit

bench-edge: build ## the edge beside Docker's proxy, HAProxy, nginx and Caddy
	scripts/ensure-docker
	scripts/ensure-balancers haproxy nginx caddy wrk
	go run ./cmd/edgebench -davit bin/davit

composer: ## bin/composer: Docker Compose itself, which davit is held against
	cd tools && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o ../bin/composer ./composer

fidelity: ## what davit makes of compose files against what Compose makes, field by field; DIR=directory for other files
	scripts/ensure-docker
	$(if $(DIR),$(MAKE) composer)
	go run ./cmd/fidelity -composer bin/composer $(if $(DIR),-dir '$(DIR)')

fidelity-reference: composer ## write anew what Compose makes of testdata/compose/fidelity
	scripts/ensure-docker
	go run ./cmd/fidelity -composer bin/composer -update

image: build ## a container image from scratch: the binary and root certificates
	go run ./scripts/cacerts > bin/ca-certificates.crt
	docker build --tag $(IMAGE) .

dist: $(PLATFORMS:%=dist-%) ## release binaries for every platform, with checksums
	cd dist && sha256sum davit-linux-* > SHA256SUMS

.PHONY: $(PLATFORMS:%=dist-%)
dist-amd64 dist-arm64: dist-%:
	GOOS=linux GOARCH=$* $(STATIC) -o dist/davit-linux-$* ./cmd/davit
dist-arm/v7:
	GOOS=linux GOARCH=arm GOARM=7 $(STATIC) -o dist/davit-linux-armv7 ./cmd/davit

clean: ## remove what was built
	rm -rf bin dist
