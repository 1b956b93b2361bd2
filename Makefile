# Entry points for development. Every target can be run at any time; steps that are up to date are skipped.
# PYTHON=…, CHROMIUM=… and NGINX_PROGRAM=… choose the Python, the browser and the nginx.

.DEFAULT_GOAL := help
.PHONY: help demo test matrix oldest installs lint format bench protocol lock build setup clean distclean

help: ## Show this list
	@echo 'make TARGET, where TARGET is one of'
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1|\2/p' Makefile | while IFS='|' read -r name text; do printf '  %-11s %s\n' "$$name" "$$text"; done

demo: ## A simulated build, live in JupyterLab and in this terminal (DEMO_ARGS='plan-failure --speed 5')
	@sh scripts/demo.sh

test: ## Every check and every test (PYTEST_ARGS='-k widget')
	@sh scripts/test.sh

installs: ## Check the size of an install, and that it changes no other packages (needs the package index)
	@sh scripts/setup.sh dev
	@.venv/bin/python scripts/installs.py

matrix: ## The tests that need no browser, with every other installed Python (PYTHONS='python3.12 python3.13')
	@sh scripts/matrix.sh

oldest: ## The server's tests beside the oldest libraries it supports (OLDEST='uvicorn==0.40.0' TESTS=tests/test_server_http.py)
	@sh scripts/oldest.sh

lint: ## Format, lint and types of Python and TypeScript, and whether generated files are current
	@sh scripts/setup.sh dev
	@.venv/bin/python hatch_build.py packages
	@sh scripts/lint.sh

format: ## Format Python and TypeScript
	@sh scripts/setup.sh dev
	@.venv/bin/python hatch_build.py packages
	.venv/bin/python -m ruff format .
	.venv/bin/python -m ruff check --fix-only --quiet .
	npm --prefix js run --silent format

bench: ## The benchmarks, step by step (BENCH_ARGS goes to them)
	@sh scripts/setup.sh dev
	@CHROMIUM=$$(sh scripts/chromium.sh) PLAYWRIGHT_NODEJS_PATH=$$(command -v node) .venv/bin/python -m benchmarks $(BENCH_ARGS)

protocol: ## Generate js/src/protocol.ts, guards.ts and words.ts from the Python package
	@sh scripts/setup.sh dev
	.venv/bin/python tools/generate_protocol.py
	.venv/bin/python tools/generate_words.py

lock: ## Update requirements*.lock (LOCK_ARGS=--upgrade takes newer versions), complete js/package-lock.json
	@sh scripts/setup.sh dev
	.venv/bin/python scripts/lock.py $(LOCK_ARGS)
	.venv/bin/python scripts/npm_lock.py

build: ## The wheel and the sdist, into dist/
	@sh scripts/setup.sh dev
	.venv/bin/python -m hatchling build --clean --directory dist

setup: ## Only the set-up: .venv with all tools, and the front end
	@sh scripts/setup.sh dev

clean: ## Remove what was built, and caches
	rm -rf buildwidget/static dist build .logs .pytest_cache .ruff_cache .hypothesis test-results js/coverage
	find . -name __pycache__ -not -path './.venv/*' -not -path './js/node_modules/*' -prune -exec rm -rf {} +

distclean: clean ## Also remove the environment and the npm packages
	rm -rf .venv js/node_modules
