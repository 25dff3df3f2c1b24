# The two commands of the README, and what developers use besides. Every target does its own set-up.
.PHONY: demo demo-down test setup check unit bare clusters soak bench-fanout bench-joins bench-start bench-repair bench-repair-wan bench-transport interop fuzz

demo: ## two regional clusters on this machine, the CDN on them, a live stream
	hack/demo up

demo-down: ## remove every trace of the demo
	hack/demo down

test: ## every test that is no soak and no benchmark
	hack/test

setup: ## packages and the Python environment in .venv
	hack/setup

check unit bare clusters: ## one stage of `make test`
	hack/test $@

interop: ## every untouched client of tests/interop, the large ones installed first; writes docs/interop.md
	hack/interop

bench-fanout: ## server CPU per delivered packet at 10 to 1,000 viewers; VIA=pod behind a pod's network; writes docs/benchmarks/fanout-*
	hack/setup && PYTHONPATH=hack .venv/bin/python tests/bench/fanout.py --via $(or $(VIA),loopback) --write docs/benchmarks

bench-joins: ## server CPU per join beside 300 running viewers, and what those notice; THROUGH=director by HTTP
	hack/setup && PYTHONPATH=hack .venv/bin/python tests/bench/joins.py --through $(or $(THROUGH),engine)

soak: ## restless viewers and publishers, processes stopped, killed and cut off: nothing is left of them; root, half an hour (MINUTES=…)
	hack/setup && .venv/bin/python tests/soak/soak.py --minutes $(or $(MINUTES),30)

bench-start: ## POST to first picture, moving and live on loopback and in Chromium; warm edge and cold edge 84 ms away
	hack/setup && PYTHONPATH=hack:tests/browser .venv/bin/python tests/bench/first_pictures.py && .venv/bin/python tests/bench/start.py

bench-transport: ## relays by UDP, TCP with cubic and TCP with bbr at 84 ms and 0, 1, 3 % loss
	hack/setup && PYTHONPATH=hack .venv/bin/python tests/bench/transport.py

bench-repair-wan: ## rows of it on the testbed's WAN with real processes; root
	hack/setup && PYTHONPATH=hack .venv/bin/python tests/bench/repair_wan.py

bench-repair: ## what viewers see at 1 to 10 % loss, simulated: the table of docs/benchmarks/repair.md
	cd mediaserver/engine && CARGO_TARGET_DIR="$${RIVULET_CACHE:-$$HOME/.cache/rivulet}/cargo" nice -n 19 cargo run -q --release --locked -p rivulet-bench -- repair

fuzz: ## spoilt inputs for every reader of foreign bytes (INPUTS=10000000 SEED=1 READER=sdp…)
	cd mediaserver/engine && CARGO_TARGET_DIR="$${RIVULET_CACHE:-$$HOME/.cache/rivulet}/cargo" nice -n 19 cargo run -q --profile fuzz -p rivulet-bench -- \
	  fuzz $(or $(INPUTS),10000000) $(or $(SEED),1) $(READER)
