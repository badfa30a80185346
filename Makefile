# What a contributor types. CI runs .ci/run, which is made of the same parts.

GO         ?= go
PKG        ?= ./...
FUZZTIME   ?= 30s
BENCHTIME  ?= 1s
N          ?= 50000
SEED       ?= 1
STATICCHECK = $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: all build static test race kernel lint fuzz bench differential clean

all: lint test build

build:                  ## bin/moat
	$(GO) build -trimpath -o bin/moat ./cmd/moat

static:                 ## the same without libc, for containers and empty roots
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o bin/moat ./cmd/moat

test:                   ## needs no root; tests against a kernel skip themselves
	$(GO) test $(PKG)

race:
	$(GO) test -race -shuffle=on $(PKG)

kernel:                 ## as root: tests that need a kernel must run
	MOAT_REQUIRE=kernel $(GO) test -race -shuffle=on $(PKG)

lint:
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo 'run gofmt -w on these'; exit 1; }
	$(GO) vet $(PKG)
	$(GO) mod tidy -diff
	$(STATICCHECK) $(PKG)

fuzz:                   ## every fuzz target for FUZZTIME
	@for pkg in $$(grep -rl --include=*_test.go 'func Fuzz' . | xargs -n1 dirname | sort -u); do \
		for f in $$(grep -ho 'func Fuzz[A-Za-z0-9_]*' $$pkg/*_test.go | cut -c6-); do \
			echo "== $$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$pkg || exit 1; \
		done; \
	done

bench:
	$(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) $(PKG)

differential:           ## as root: N random scenarios beside the kernel of this machine; 50,000 take about an hour on two cores
	$(GO) test ./integration/difftest -run TestDifferential -count 1 -timeout 0 -v -difftest.n=$(N) -difftest.seed=$(SEED)

clean:
	rm -rf bin
