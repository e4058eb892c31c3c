# Posthouse from the shell; `make` lists the words.

CONTROL := $(CURDIR)/.local/control
MTA := .local/bin/mta

# Debian's own Python first: one in a private home could not be read by other users.
PYTHON := $(shell for python in /usr/bin/python3 python3; do \
	$$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& command -v $$python && break; done)
PORT := 2525

# Ansible insists on a UTF-8 locale, and the one that ssh brought along may not exist here.
export LC_ALL := C.UTF-8
export PATH := $(CONTROL)/bin:$(PATH)
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV
MAKEFLAGS += --no-print-directory

define CLOSING

SMTP listens on 127.0.0.1:$(PORT). Mail for ANYONE@posthouse.test lands in
.local/mail/posthouse.test/ANYONE/new. The next message:

    python3 -c 'import smtplib; smtplib.SMTP("127.0.0.1", $(PORT)).sendmail("alice@example.org",
        "bob@posthouse.test", "Subject: Hello\n\nHow are you?\n")'

The log is .local/log/mail.log, the command .local/bin/mta (--help). To stop: make down.
endef
export CLOSING

.PHONY: help up down clean check test bench reference control
.SILENT:
.DELETE_ON_ERROR:

help:
	echo "make up [PORT=2525]  set up, roll out into .local, start, send a first message"
	echo "make down            let mail in hand drain, and stop"
	echo "make clean           make down, and remove .local"
	echo "make check           formatting, types, layers, YAML, Ansible, spelling"
	echo "make test            all tests"
	echo "make bench           measure beside Postfix, write docs/benchmarks (root; about 25 minutes)"
	echo "make reference       write docs/reference anew from the code"

up: control
	ansible-playbook -i inventory/local site.yml -e posthouse_port=$(PORT) -e posthouse_python=$(PYTHON)
	$(MTA) probe
	echo
	$(MTA) status
	printf '%s\n' "$$CLOSING"

down:
	if [ -x $(MTA) ]; then $(MTA) stop; else echo "Nothing is rolled out here."; fi

clean: down
	rm -rf .local
	echo "Removed .local."

check: control
	ruff check
	ruff format --check
	mypy
	lint-imports
	yamllint --strict .
	ansible-lint --offline
	codespell

test: control
	pytest -n 4 --dist worksteal

# BENCH: options and experiments, such as BENCH='--quick relay-*'; see BENCH=--help.
bench: control
	cd tests && python -m bench --output ../docs/benchmarks --json ../.local/bench.json $(BENCH)

reference: control
	python -I -m mta.commands reference docs/reference

# The control side's virtual environment, made anew when a requirement or its own place changes.
control:
	sha256sum --check --status "$(CONTROL)/requirements.sha256" 2>/dev/null || { \
		test -n "$(PYTHON)" || { echo "Needed: Python 3.11 or later with venv (apt install python3-venv)" >&2; exit 1; }; \
		echo "Making the virtual environment .local/control: once, half a minute ..."; \
		$(PYTHON) -m venv --clear "$(CONTROL)" && \
		pip install --quiet --disable-pip-version-check -r requirements-dev.txt && \
		echo "$(CURDIR)" >"$$(python -I -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/posthouse.pth" && \
		sha256sum "$(CURDIR)"/requirements*.txt >"$(CONTROL)/requirements.sha256"; \
	}
