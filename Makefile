# `make demo` and `make test` are all that a newcomer needs.

CARGO ?= cargo
ARGS ?=
SEEDS ?= 1..2000

# The packages below net/, whose integration tests start real parts.
NET := -p tandem-net -p tandem-lab -p tandem

.PHONY: help demo sim mutants test lint bench docs deps
.DEFAULT_GOAL := help

help:             ## what there is
	@sed -n 's/^\([a-z]*\): .*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST)

# A development build, because it is there sooner; a failover does not wait for the processor.
# Only its real parts come from Debian.
demo: $(if $(findstring --real,$(ARGS)),deps) ## kill the active agent of a switch and see what it costs (ARGS="--real --stale-hold --json")
	@$(CARGO) run --locked -p tandem -- demo $(ARGS)

sim:              ## every scenario, and 2000 seeds, in the simulated world (SEEDS=5001..7000 ARGS="--json")
	@$(CARGO) run --locked --release -p tandem -- sim run scenarios/
	@$(CARGO) run --locked --release -p tandem -- sim sweep --seeds $(SEEDS) $(ARGS)

mutants:          ## every bug planted in a build of its own is found in the simulated world (ARGS="--json")
	@$(CARGO) run --locked --release -p tandem --features mutants --target-dir target/mutants -- sim mutants $(ARGS)

# Tests with real parts run one at a time: they measure, and two cores are soon full.
test: deps        ## every test, against real ovsdb-server and HAProxy
	$(CARGO) test --locked --workspace --exclude tandem-net --exclude tandem-lab --exclude tandem
	$(CARGO) test --locked $(NET) --lib --bins
	$(CARGO) test --locked $(NET) --test '*' -- --test-threads=1
	$(CARGO) test --locked $(NET) --doc

lint:             ## formatting and clippy, as strict as CI
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

bench: deps       ## the benchmarks, as ratios
	$(CARGO) bench --locked -p tandem-benches $(ARGS)

docs:             ## the documentation of the code, in target/doc
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps

deps:             ## install the Debian packages that tests and demo --real need, or say which
	@.ci/deps
