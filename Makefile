# `make test` is what CI runs; every other target is a part of it, or a convenience.
# Nothing here needs anything but a Rust toolchain (see rust-version in Cargo.toml), make, bash, and for `deny` pip;
# `clients` and `edge` install programs that are missing, for which they must be root on Debian, and packages of npm and PyPI.

CARGO ?= cargo
.DEFAULT_GOAL := help

.PHONY: help test check format lint core unit clients edge sim doc deny dev bench bench-membership bench-proxy bench-sim bench-sim-long figures calm budget-check bench-budget

help: ## Lists the targets.
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: format lint core sim unit clients edge doc deny ## Everything: what CI runs. Under 30 minutes from a clean clone on two cores.
	@echo "make test: all green"

check: ## The fastest answer while writing: does it compile?
	$(CARGO) check --workspace --all-targets

format: ## Is the code formatted?
	$(CARGO) fmt --all --check

# The simulator is linted alone: in one invocation with the root its dependency would be built with `net`.
lint: ## Clippy, with warnings denied.
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) clippy --locked -p meshsim --all-targets -- -D warnings

# One build for both: the simulator's dependencies are those of the core without `net`.
core: ## Unit tests of the core without sockets, clock or files.
	$(CARGO) test --locked --no-default-features --lib

unit: ## Unit, property, architecture and system tests of everything (starts real processes).
	$(CARGO) test --locked

clients: ## Real clients (curl, grpcio, websockets, h2load) and backends (nginx, uvicorn, Node, hyper) with real nodes.
	$(CARGO) build --locked --bin meshnode --example recorder
	tests/clients/install
	$(or $(CARGO_TARGET_DIR),target)/clients-venv/bin/pytest tests/clients $(ARGS)

EDGE_CHECKS = check lint test size

edge: ## The Worker in Cloudflare's runtime, and meshedge, with fake and with real nodes; needs npm, but no account.
	$(CARGO) build --locked --bins --example quiet_day
	tests/edge/install
	for script in $(EDGE_CHECKS); do npm run --silent --prefix edge $$script || exit; done
	$(or $(CARGO_TARGET_DIR),target)/clients-venv/bin/pytest tests/edge $(ARGS)

sim: calm budget-check ## The simulator and its scenarios: the core in virtual time.
	$(CARGO) test --locked -p meshsim

# 1,000 node-hours in all; optimised, or it would take half an hour.
calm: ## Nobody who lives is held dead, though 5, 10 and 25 % of the datagrams are lost.
	$(CARGO) run --locked --release -p meshsim -- measure calm --nodes 100 --loss 0.05,0.1,0.25 \
		--mode witness --node-hours 334 --strict

# Half a minute of optimised simulation; all of it, with the ablation, is bench-budget.
BUDGET = $(CARGO) run --locked --release -p meshsim -- budget

budget-check: ## The summary is written at most 30 times a day, whatever fails: every scenario, two seeds, the most stale store.
	$(BUDGET) --seeds 2 --staleness 180 --full-mesh 3 --strict

doc: ## The API documentation, with warnings denied.
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items

deny: ## Licences, bans, sources; advisories when their database can be reached.
	.ci/deny

dev: ## Three nodes on this machine with sample services, until Ctrl-C.
	$(CARGO) run --locked --release -- dev

# With what they compare, and what that needs: benches/README.md. ARGS=--quick is a first look.
bench-membership: ## Membership beside Serf on real processes: how fast, how often wrong, what it costs.
	$(CARGO) build --locked --release
	python3 benches/membership.py $(ARGS)

bench-proxy: ## The proxy beside nginx, HAProxy, Envoy, Traefik and Caddy; about 14 minutes.
	$(CARGO) build --locked --release
	python3 benches/proxy.py $(ARGS)

bench: bench-membership bench-proxy ## The measurements in benches/, one after another.

bench-sim: ## The simulated figures, with goal and floor, each also with the earlier detectors; about 15 minutes.
	$(CARGO) run --locked --release -p meshsim -- bench

bench-sim-long: ## The same with 100,000 node-hours for each share of losses; a night.
	$(CARGO) run --locked --release -p meshsim -- bench --long

bench-budget: ## The budget's figures: 20 seeds of three days, 90 days, a staler store, and each rule left out; about half an hour.
	$(BUDGET) --seeds 20 --staleness 0,90,180 --full-mesh 3,10 --strict
	$(BUDGET) --seeds 2 --days 90 --staleness 180 --scenario quiet1,quiet3,quiet10,quiet100,churny3,churny10,churny100 --strict
	$(BUDGET) --seeds 20 --staleness 600
	$(BUDGET) --seeds 20 --staleness 600 --declared 600
	$(BUDGET) --seeds 4 --staleness 180 --ablation

MEASURE = target/release/meshsim measure
FIGURES = docs/figures

figures: ## The plots in docs/figures, anew; a few minutes.
	$(CARGO) build --locked --release -p meshsim
	$(MEASURE) host --nodes 32,1000 --seeds 3 --plot $(FIGURES)/detection.svg
	$(MEASURE) news --nodes 100,1000 --seeds 3 --plot $(FIGURES)/dissemination.svg
	$(MEASURE) bootstrap --nodes 500 --seeds 1 --mode witness --plot $(FIGURES)/views.svg
	$(MEASURE) idle --nodes 10,32,100,320,1000 --seeds 1 --plot $(FIGURES)/bytes.svg
	$(MEASURE) calm --nodes 100 --loss 0,0.05,0.1,0.25 --node-hours 50 --plot $(FIGURES)/false-deaths.svg
