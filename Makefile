# `make demo` and `make test` are all that a newcomer needs, and `make check` before each commit.

CARGO ?= cargo
ARGS ?=
SEEDS ?= 1..2000

# The packages below net/, whose integration tests start real parts.
NET := -p tandem-net -p tandem-lab -p tandem

.PHONY: help demo check sim mutants release test unit real lint examples bench docs book deny deb deps tools
.DEFAULT_GOAL := help

help:             ## list these commands
	@sed -n 's/^\([a-z]*\): .*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST)

# A development build, because it is ready sooner; a failover does not wait for the processor.
# Only its real parts come from Debian.
demo: $(if $(findstring --real,$(ARGS)),deps) ## kill the active agent of a switch and show what it costs (ARGS="--real --stale-hold --json")
	@$(CARGO) run --locked -p tandem -- demo $(ARGS)

check: lint unit  ## format, clippy, and every test that needs no real part: two minutes when built

sim:              ## every scenario, the bounds of failovers, and 2000 seeds, in the simulated world (SEEDS=5001..7000 ARGS="--json")
	@$(CARGO) run --locked --release -p tandem -- sim run scenarios/
	@$(CARGO) run --locked --release -p tandem -- sim failovers --page docs/src/failover-times.md
	@$(CARGO) run --locked --release -p tandem -- sim sweep --seeds $(SEEDS) $(ARGS)

# The program with planted bugs stays in a folder of its own; what it shares with `make sim` is compiled once.
mutants:          ## every bug planted in a build of its own is found in the simulated world (ARGS="--json")
	@CARGO_BUILD_BUILD_DIR=target $(CARGO) run --locked --release -p tandem --features mutants --target-dir target/mutants -- sim mutants $(ARGS)
	@CARGO_BUILD_BUILD_DIR=target $(CARGO) test --locked --release -p tandem-sim --features mutants --target-dir target/mutants --test mutants

release:          ## build what `make sim` and `make mutants` run
	$(CARGO) build --locked --release -p tandem
	@CARGO_BUILD_BUILD_DIR=target $(CARGO) build --locked --release -p tandem --features mutants --target-dir target/mutants

test: unit real   ## every test, against real ovsdb-server and HAProxy

unit:             ## the tests that need no real part
	$(CARGO) test --locked --workspace --exclude tandem-net --exclude tandem-lab --exclude tandem
	$(CARGO) test --locked $(NET) --lib --bins
	$(CARGO) test --locked -p tandem --test house

# These tests run one at a time: they measure, and two cores are soon busy.
real: deps        ## the tests against real ovsdb-server and HAProxy
	$(CARGO) test --locked $(NET) --test '*' -- --test-threads=1
	$(CARGO) test --locked $(NET) --doc

lint:             ## formatting and clippy, as strict as CI
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) clippy --locked -p tandem-core -p tandem-sim -p tandem --all-targets --features tandem/mutants -- -D warnings

examples:         ## run the examples of core
	@for name in $(patsubst core/examples/%.rs,%,$(wildcard core/examples/*.rs)); do \
		$(CARGO) run --locked --quiet -p tandem-core --example $$name || exit 1; done

bench: deps       ## the benchmarks, as ratios
	$(CARGO) bench --locked -p tandem-benches $(ARGS)

docs:             ## the documentation of the code, in target/doc
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps

book: tools       ## the book, in target/book, with its links checked
	PATH="target/tools/bin:$$PATH" mdbook build docs
	.ci/links target/book

deny: tools       ## licences and sources of all dependencies, and those that are banned
	PATH="target/tools/bin:$$PATH" cargo-deny --locked check bans licenses sources

# Man pages and completions come from the program itself.
deb: tools        ## the Debian package, in target/debian, unpacked and tried in a root of its own (as root)
	$(CARGO) build --locked --release -p tandem
	mkdir -p target/release/packaging/man
	target/release/tandem man target/release/packaging/man
	gzip -9nf target/release/packaging/man/*.1
	target/release/tandem completions bash >target/release/packaging/tandem.bash
	target/release/tandem completions zsh >target/release/packaging/_tandem
	target/release/tandem completions fish >target/release/packaging/tandem.fish
	PATH="$$PWD/target/tools/bin:$$PATH" cargo-deb --no-build --strip -p tandem
	.ci/package

deps:             ## install the Debian packages that tests and demo --real need, or name them
	@.ci/deps

tools:            ## install cargo-deny and mdbook in target/tools
	@.ci/tools
