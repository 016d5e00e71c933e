# The yard's chores. Tools are pinned in tools/go.mod and built into .bin.
FUZZTIME ?= 5s
BIN := .bin

.PHONY: check build test race lint vuln fuzz docs cross sensors bench tools

check: lint race fuzz docs vuln

build:
	CGO_ENABLED=0 go build -trimpath -o ippwatch ./cmd/ippwatch

test:
	go test ./...

# Of cmd/ippwatch, which only wires, what many do at once: the rest is seen once
# without it, and takes minutes.
# Without filter: it proves in one goroutine, ten times as slowly. Without
# filter/announce: gobgp keeps settings in globals, so two speakers in one test
# process race inside the library; ippwatch starts one a process.
race:
	go test -race -timeout 30m $$(go list ./... | grep -v -e /lab$$ -e /cmd/ippwatch$$ -e ippwatch/filter$$ -e ippwatch/filter/announce$$)
	go test -race -timeout 30m -run 'TestAPI|TestOffice|TestPages(Render|Check|Compare|Drain)|TestServe(Drains|KilledGoesOn)|TestTheDaemon|TestOrders|TestRoutes' ./cmd/ippwatch

tools: $(BIN)/golangci-lint $(BIN)/govulncheck

$(BIN)/%: tools/go.mod tools/go.sum
	cd tools && CGO_ENABLED=0 go build -o ../$(BIN)/ $$(go list tool | grep /$*$$)
	@touch $@

# A real gobgpd and its command, for filter/announce.
$(BIN)/gobgpd: tools/gobgp/go.mod tools/gobgp/go.sum
	cd tools/gobgp && CGO_ENABLED=0 go build -o ../../$(BIN)/ $$(go list tool)
	@touch $@

lint: $(BIN)/golangci-lint
	go vet ./...
	$(BIN)/golangci-lint run ./...

# The database of known vulnerabilities is not to be had everywhere: then this
# says so and goes on.
vuln: $(BIN)/govulncheck
	@.ci/vuln $(BIN)/govulncheck

fuzz:
	@FUZZTIME=$(FUZZTIME) .ci/fuzz

# Every command that the documentation shows is run.
docs:
	go test -count=1 -run 'TestDocs' ./cmd/ippwatch

cross:
	CGO_ENABLED=0 go build ./...
	GOOS=darwin CGO_ENABLED=0 go build ./...
	GOOS=windows CGO_ENABLED=0 go build ./...
	.ci/sensor

# The sensor alone, for the machines that sensors run on.
sensors:
	mkdir -p dist
	.ci/sensor dist

bench:
	go run ./bench
