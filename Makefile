# Posthouse from the shell; `make` lists the words.

MTA := .local/bin/mta

# Run by root, daemons have users of their own: those must get through to what make makes, and
# nobody but root may be able to change it. Where the clone is no such place, .local is a link to one.
ifeq ($(shell id -u),0)
ROOT := yes
UMASK := umask 022;
UNFIT := $(shell place='$(CURDIR)/mta'; while [ -n "$$place" ]; do find "$$place" -maxdepth 0 \( \
	! -perm -o=x -o ! -user root -o ! -perm -1000 -a \( -perm -o=w -o -perm -g=w ! -group root \) \
	\); place=$${place%/*}; done)
ELSEWHERE := $(if $(UNFIT),/var/lib/posthouse-$(shell printf %s '$(CURDIR)' | sha256sum | cut -c -12))
endif
LOCAL := $(or $(ELSEWHERE),$(CURDIR)/.local)
CONTROL := $(LOCAL)/control
# What the control side imports: the clone, or where daemons cannot read that, a fresh copy.
CLONE := $(if $(ELSEWHERE),$(LOCAL)/clone,$(CURDIR))

# Debian's own Python first: one in a private home could not be read by other users.
PYTHON := $(shell for python in /usr/bin/python3 python3; do \
	$$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& command -v $$python && break; done)
PORT := 2525
# Where mail for other domains goes; empty: to each domain's own mail hosts, by MX.
RELAYHOST :=

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

# The proofs that nothing is lost: docs/reliability.md.
PROOFS := torture powercut filesystems faults fulldisk corruption maildrop clock soak

.PHONY: help up down clean check test bench proofs torture powercut filesystems faults fulldisk corruption maildrop clock soak reference users control place clone
.SILENT:
.DELETE_ON_ERROR:

help:
	echo "make up [PORT=2525] [RELAYHOST='[HOST]:PORT']"
	echo "                     set up, roll out into .local, start, send a first message"
	echo "make down            let mail in hand drain, and stop"
	echo "make clean           make down, and remove .local"
	echo "make check           formatting, types, layers, YAML, Ansible, spelling"
	echo "make test            all tests"
	echo "make users           (root) the users and groups that daemons run as"
	echo "make bench           measure beside Postfix, write docs/benchmarks (root; about 15 minutes)"
	echo "make proofs          all that follow: try to refute that no mail is lost, write docs/reliability.md"
	echo "make torture         deaths of processes; as all proofs: [SIZE=N] [SEED=N]"
	echo "make powercut        death of the machine, by a model of what a crash may keep"
	echo "make filesystems     the same on ext4, xfs and btrfs themselves (root)"
	echo "make faults          errors at every system call"
	echo "make fulldisk        disks that are full, read-only or sick (root)"
	echo "make corruption      damaged and strange queue files"
	echo "make maildrop        hosts that share a maildrop, deaths of sendmail and pickup (root)"
	echo "make clock           clocks that jump, machines that sleep"
	echo "make soak            an hour of mail, in which nothing may grow"
	echo "make reference       write docs/reference and what roles take anew from the code"

up: control
	ansible-playbook -i inventory/local site.yml \
		-e posthouse_root="$(LOCAL)" -e posthouse_port=$(PORT) -e posthouse_python=$(PYTHON) \
		-e 'posthouse_relayhost="$(RELAYHOST)"'
	$(MTA) probe
	echo
	$(MTA) status
	printf '%s\n' "$$CLOSING"

down:
	if [ -x $(MTA) ]; then $(MTA) stop; else echo "Nothing is rolled out here."; fi

clean: down
	rm -rf "$(LOCAL)" .local
	echo "Removed .local."

check: control
	ruff check
	ruff format --check
	mypy
	lint-imports
	yamllint --strict .
	ansible-lint --offline
	codespell

test: clone $(if $(ROOT),users)
	cd "$(CLONE)" && pytest -n 4 --dist worksteal

# BENCH: options and experiments, such as BENCH='--quick relay-*'; see BENCH=--help.
bench: clone $(if $(ROOT),users)
	cd "$(CLONE)/tests" && python -m bench --output "$(CURDIR)/docs/benchmarks" --json "$(LOCAL)/bench.json" $(BENCH)

# SIZE: in the proof's unit; a smaller run than usual leaves the page alone. PROOF: further options.
$(PROOFS): clone $(if $(ROOT),users)
	cd "$(CLONE)/tests" && python -m reliability $@ --output "$(CURDIR)/docs/reliability.md" \
		$(if $(SIZE),--size $(SIZE)) $(if $(SEED),--seed $(SEED)) $(PROOF)

proofs:
	for proof in $(PROOFS); do $(MAKE) $$proof SIZE= SEED= || failed="$$failed $$proof"; done; \
	if [ -n "$$failed" ]; then echo "Refuted:$$failed" >&2; exit 1; fi

reference: clone
	python -I -m mta.commands reference docs/reference \
		--argument-specs roles/configuration/meta/argument_specs.yml

users: control
	ansible-playbook -i inventory/local site.yml --tags users

# A copy of the clone that daemons can read, made anew each time.
clone: control
	if [ "$(CLONE)" != "$(CURDIR)" ]; then \
		rm -rf "$(CLONE)" && mkdir "$(CLONE)" && \
		tar --create --exclude=./.local --exclude=./.*_cache --exclude=__pycache__ \
			--owner=0 --group=0 --mode=u=rwX,go=rX . | tar --extract --directory "$(CLONE)" && \
		ln -s "$(LOCAL)" "$(CLONE)/.local"; \
	fi

place:
	if [ -n "$(ELSEWHERE)" ] && ! [ -L .local ]; then \
		if [ -e .local ]; then \
			echo "Root cannot use .local here, for others could change it or cannot reach it:" $(UNFIT) >&2; \
			echo "make clean, as the user who made it." >&2; \
			exit 1; \
		fi; \
		$(UMASK) mkdir -p "$(ELSEWHERE)" && ln -s "$(ELSEWHERE)" .local; \
	fi

# The control side's virtual environment, made anew when a requirement or its own place changes.
control: place
	$(UMASK) sha256sum --check --status "$(CONTROL)/requirements.sha256" 2>/dev/null || { \
		test -n "$(PYTHON)" || { echo "Needed: Python 3.11 or later with venv (apt install python3-venv)" >&2; exit 1; }; \
		echo "Making the virtual environment .local/control: once, half a minute ..."; \
		$(PYTHON) -m venv --clear "$(CONTROL)" && \
		pip install --quiet --disable-pip-version-check -r requirements-dev.txt && \
		echo "$(CLONE)" >"$$(python -I -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/posthouse.pth" && \
		sha256sum "$(CURDIR)"/requirements*.txt >"$(CONTROL)/requirements.sha256"; \
	}
