# Verbs of Shopfloor. `make` alone lists them. PROFILE names an inventory folder; its name is the lab's name, too.
PROFILE ?= lab
INVENTORY ?= inventories/$(PROFILE)

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

LAB_FOLDER := .lab/$(notdir $(patsubst %/,%,$(INVENTORY)))
comma := ,
# A line of a journal may hold any sign of the shell.
override export EVIDENCE := $(value EVIDENCE)
# The lab's own connection file comes second, once the lab is there.
export ANSIBLE_INVENTORY := $(INVENTORY)$(addprefix $(comma),$(wildcard $(LAB_FOLDER)/inventory.yml))
export ANSIBLE_CONFIG := ansible.cfg
# Ahead of the user's own tools; sbin, because Debian's users do not have it and the hosts' network needs it.
export PATH := $(CURDIR)/.venv/bin:$(PATH):/usr/sbin:/sbin

# $(call step,what,command): says what begins and how long it took.
step = @printf '\n== %s\n' '$(1)'; from=$$EPOCHSECONDS; $(2); printf '== %s: %d s\n' '$(1)' $$((EPOCHSECONDS - from))

# $(call play,verb,playbook): carries out a playbook that changes the cluster, while no other verb does.
play = python -m tools.health.lock 'make $(1)' ansible-playbook ansible/$(2).yml

# After a playbook that failed on a host, or did not reach one: what whoever helps needs to know.
supported = { code=$$?; [[ $$code != [24] ]] || python -m tools.health.support; exit $$code; }

##@ Everything

.PHONY: lab
lab: $(if $(BUNDLE),unbundle) setup preflight hosts artefacts ## from nothing to the running pipeline; goes on where it stopped [BUNDLE=file or address]
	@$(MAKE) site
	@python -m tools.health.status --urls

.PHONY: local
local: PORT ?= 5000
local: ## no root, no cluster: the batch on ./data, and the dashboard over it on PORT (5000)
	@tools/bootstrap.sh local
	@python -m tools.artefacts vendor
	$(call step,Batch,USE_HDFS=false SPARK_LOCAL_IP=127.0.0.1 PYTHONPATH=jobs:dataset python -m retail_jobs.batch)
	@echo; echo "Dashboard: http://localhost:$(PORT) (Ctrl-C ends it)"
	@USE_HDFS=false PYTHONPATH=webapp DASHBOARD_BIND=127.0.0.1:$(PORT) \
	  exec python -m gunicorn --config webapp/retail_webapp/gunicorn_conf.py 'retail_webapp:create_app()'

.PHONY: down
down: setup ## stop the hosts, keep their data; `make lab` brings them back
	$(call step,Stop the hosts,python -m lab down $(INVENTORY))

.PHONY: destroy
destroy: setup ## delete the hosts and all their data
	$(call step,Delete the hosts,python -m lab destroy $(INVENTORY))

##@ Look

.PHONY: status
status: setup ## units on every host, last and next runs of the jobs, the URLs
	@python -m tools.health.status

.PHONY: check
check: setup ## prove that data flows, from HDFS to the live window
	@python -m tools.health.check

.PHONY: can-stop
can-stop: setup ## may a host stop now, and why not? make can-stop HOST=worker1 [FOR=restart|remove] [JSON=1]
	@test -n "$(HOST)" || { echo "Which host? make can-stop HOST=worker1 [FOR=restart|remove] [JSON=1]" >&2; exit 2; }
	@python -m tools.health can-stop "$(HOST)" --for "$(or $(FOR),restart)" $(if $(JSON),--json)

.PHONY: quarantine
quarantine: setup ## records that could not be used: how many, why, examples
	@python -m tools.data.quarantine

.PHONY: ssh
ssh: ## a shell on a host: make ssh HOST=edge1
	@test -n "$(HOST)" || { echo "Which host? make ssh HOST=edge1" >&2; exit 1; }
	@exec ssh -F $(firstword $(wildcard $(INVENTORY)/ssh.cfg) $(LAB_FOLDER)/ssh_config) $(HOST)

.PHONY: timeline
timeline: setup ## what happened on all hosts, by time: make timeline [FROM=-30m] [TO=2026-11-27T09:20] [JSON=1]
	@python -m tools.health.timeline $(if $(FROM),--from=$(FROM)) $(if $(TO),--to=$(TO)) $(if $(JSON),--json)

.PHONY: bundle-support
bundle-support: setup ## one archive for whoever helps you: units, journals, settings, health of all hosts, without secrets
	@python -m tools.health.support

##@ Jobs

.PHONY: batch
batch: setup ## bring new CSVs of data/input to HDFS, run the batch, fetch its result; FORGET=x.csv takes out one that is gone
	@python -m tools.preflight input $(INVENTORY)
	$(call step,Batch,$(call play,batch,batch))

.PHONY: input
input: setup ## how the files of data/input are read, and what does not fit; WRITE=1 writes a dataset.toml for it
	@python -m tools.data.input $(INVENTORY) $(if $(WRITE),--write)

.PHONY: streaming
streaming: setup ## restart streaming and producer, nothing else
	$(call step,Restart streaming,$(call play,streaming,streaming))

.PHONY: sample-data
sample-data: setup ## write the sample month to data/input anew
	@python -m tools.data.sample_data

##@ Day two

.PHONY: restart
restart: setup ## restart what runs, or HOST= and SERVICE= of it, one after the other behind the gate; YES=1 asks nothing
	@python -m tools.verbs restart --host "$(HOST)" --service "$(SERVICE)" $(if $(YES),--yes)

.PHONY: upgrade
upgrade: setup ## another version of a product, host by host: make upgrade PRODUCT=kafka VERSION=4.3.1 [YES=1]
	@python -m tools.verbs upgrade --inventory $(INVENTORY) --product "$(PRODUCT)" --version "$(VERSION)" $(if $(YES),--yes)

.PHONY: rollback
rollback: setup ## back to the version before: make rollback PRODUCT=kafka [YES=1]
	@python -m tools.verbs rollback --inventory $(INVENTORY) --product "$(PRODUCT)" $(if $(YES),--yes)

.PHONY: finalize
finalize: setup ## let Kafka write its metadata as its version does; no way back after it: make finalize PRODUCT=kafka
	@python -m tools.verbs finalize --product "$(PRODUCT)" $(if $(YES),--yes)

# What hosts of a lab need besides: they are made here.
MADE := $(if $(wildcard $(LAB_FOLDER)),hosts)

.PHONY: add
add: setup preflight-inventory artefacts $(MADE) ## deploy a HOST that was written into the inventory, and give it its share
	@python -m tools.verbs add --host "$(HOST)" $(if $(YES),--yes)

.PHONY: remove
remove: setup ## move everything off a HOST, stop it, forget it; NAME= is the cluster's name, which is asked for
	@python -m tools.verbs remove --inventory $(INVENTORY) --host "$(HOST)" --name "$(NAME)" $(if $(YES),--yes)

.PHONY: replace
replace: setup artefacts ## let a HOST that was rebuilt with empty disks become again what it was
	@python -m tools.verbs replace --host "$(HOST)" $(if $(YES),--yes)

.PHONY: renew
renew: setup ## delete a HOST of a lab with its disks, and make it anew, empty; FORCE=1 even if something is nowhere else
	@test -n "$(HOST)" || { echo "Which host? make renew HOST=worker1" >&2; exit 2; }
	@$(if $(FORCE),:,python -m tools.verbs may-be-deleted --host "$(HOST)")
	$(call step,Make $(HOST) anew,python -m lab renew $(INVENTORY) "$(HOST)")

##@ Back in time

.PHONY: snapshot
snapshot: setup ## keep the state of all hosts of the lab: make snapshot NAME=healthy
	@test -n "$(NAME)" || { echo "What is it to be called? make snapshot NAME=healthy" >&2; exit 2; }
	$(call step,Snapshot,python -m lab snapshot $(INVENTORY) "$(NAME)")

.PHONY: snapshots
snapshots: setup ## snapshots of the lab, how old and how large; DELETE=healthy deletes one
	@python -m lab $(if $(DELETE),forget,snapshots) $(INVENTORY) "$(DELETE)"

.PHONY: rewind
rewind: setup ## bring all hosts of the lab back to a snapshot: make rewind NAME=healthy
	@test -n "$(NAME)" || { echo "Which snapshot? make rewind NAME=healthy; \`make snapshots\` lists them" >&2; exit 2; }
	$(call step,Rewind,python -m lab rewind $(INVENTORY) "$(NAME)")

##@ Drills

.PHONY: drill
drill: setup ## faults to be found and mended: the list; ID= starts one [SEED=]
	@python -m tools.drills $(if $(ID),start "$(ID)" $(if $(SEED),--seed "$(SEED)"),list)

.PHONY: hint verify solution reset report
hint: ## a hint for the drill that runs; each costs points
verify: ## is the drill mended, and nothing else changed? OK ends it; LAB=tour: is the task of a guide done?
solution: ## how it is mended; after it nothing is graded
reset: ## end the drill, and bring the cluster back to what it was
report: ## all drills that were played: times and grades
hint solution reset report: setup
	@python -m tools.drills $@
verify: setup
	@python -m $(if $(LAB),tools.guides "$(LAB)",tools.drills verify)

.PHONY: diagnose
diagnose: setup ## say what it is, before you mend it: HOST= UNIT= CAUSE= EVIDENCE="…" CHAIN=; without them, the list of causes
	@python -m tools.drills diagnose --host "$(HOST)" --unit "$(UNIT)" --cause "$(CAUSE)" --evidence "$$EVIDENCE" \
	  --chain "$(CHAIN)"

.PHONY: desk
desk: setup ## `drill` on the edge host, with the words of make, for who has SSH alone; until Ctrl-C
	@exec python -m tools.drills.desk

.PHONY: class
class: setup ## who played what, how long, with which grade: make class RESULTS=folder, with a folder of results for each student
	@test -n "$(RESULTS)" || { echo "Where are they? make class RESULTS=folder" >&2; exit 2; }
	@python -m tools.classroom "$(RESULTS)"

.PHONY: prove-drills
prove-drills: setup ## every drill both ways on a cluster with nothing else to do; goes on where it stopped; ID="…" takes some
	@python -m tools.drills prove $(ID)

##@ Parts

.PHONY: hosts
hosts: setup ## make or start the hosts on this machine
	$(call step,Hosts,python -m lab up $(INVENTORY))

.PHONY: site
site: setup
	$(call step,Deploy,$(call play,deploy,site) || $(supported))

.PHONY: deploy
deploy: preflight-hosts artefacts site ## deploy everything to hosts that exist, in the lab or elsewhere

.PHONY: base hdfs kafka spark jobs producer dashboard
base: ## names, journal, Java on every host
hdfs: ## NameNode and DataNodes
kafka: ## brokers, controller, topics
spark: ## master, workers, history server
jobs: ## batch with its timer, and streaming
producer: ## replay of the CSVs to Kafka
dashboard: ## dashboard and nginx
base hdfs kafka spark jobs producer dashboard: artefacts
	$(call step,Deploy $@,$(call play,$@,$@))

##@ Before

.PHONY: setup
setup: ## install the Debian packages and Python tools that the verbs need
	@tools/bootstrap.sh control

.PHONY: preflight
preflight: setup ## do inventory and input make sense, does the lab fit on this machine?
	@python -m tools.preflight all $(INVENTORY)

.PHONY: preflight-inventory
preflight-inventory: setup ## do inventory and input make sense, wherever the hosts are?
	@python -m tools.preflight inventory $(INVENTORY)
	@python -m tools.preflight input $(INVENTORY)

.PHONY: preflight-hosts
preflight-hosts: preflight-inventory ## can hosts that exist become the cluster? one table of what to mend; part of `make deploy`
	$(call step,Look at the hosts,ansible-playbook ansible/preflight.yml)

# Words of earlier versions, and of folders.
.PHONY: check-inventory check-hosts webapp
check-inventory check-hosts webapp:
	@echo "It is \`make $(or $(patsubst check-%,preflight-%,$(filter check-%,$@)),dashboard)\`." >&2; exit 2

.PHONY: artefacts
artefacts: setup ## fetch, pack and verify what the hosts receive
	$(call step,Artefacts,python -m tools.artefacts all --inventory $(INVENTORY))

.PHONY: bundle unbundle mirror
bundle: artefacts ## all that `make lab` fetches, in one file: shopfloor.bundle or BUNDLE=file, for machines without a network
	$(call step,Bundle,python -m tools.artefacts.bundle write "$(or $(BUNDLE),shopfloor.bundle)")
unbundle:
	$(call step,Bundle,tools/bootstrap.sh control "$(BUNDLE)")
mirror: PORT ?= 8000
mirror: setup ## serve the bundle, shopfloor.bundle or BUNDLE=file, to machines on the same network on PORT (8000); until Ctrl-C
	@exec python -m tools.artefacts.bundle mirror "$(or $(BUNDLE),shopfloor.bundle)" --port "$(PORT)"

.PHONY: lock
lock: setup ## resolve jars and Python requirements anew; UPGRADE=1 takes newer Python versions
	$(call step,Lock,python -m tools.artefacts lock $(if $(UPGRADE),--upgrade))

##@ Tests

# Hosts are waited for most of the time: what needs none of this lab goes on beside it, and stands back where both have something to do.
.PHONY: test
test: lint artefacts ## lint, unit tests, the roles, the whole cluster in a lab of its own
	@mkdir -p tests/output
	@nice env --default-signal=INT $(MAKE) beside >tests/output/beside.log 2>&1 & beside=$$!; failed=; \
	  $(MAKE) e2e E2E='-m "shared_lab and not long"' || failed=1; \
	  wait $$beside || failed=1; cat tests/output/beside.log; test -z "$$failed"

.PHONY: beside
beside:
	@failed=; $(MAKE) molecule || failed=1; $(MAKE) unit >tests/output/unit.log 2>&1 || failed=1; \
	  $(MAKE) e2e E2E='-m "not shared_lab and not long"' || failed=1; cat tests/output/unit.log; test -z "$$failed"

.PHONY: test-fast
test-fast: lint artefacts ## lint, and unit tests that need neither Spark nor a browser
	$(call step,Unit tests,pytest --quiet tools dataset producer)

.PHONY: setup-test
setup-test:
	@tools/bootstrap.sh test

.PHONY: lint
lint: setup-test ## ruff, mypy, yamllint, ansible-lint, shellcheck: the hooks of .pre-commit-config.yaml
	$(call step,Lint,pre-commit run --all-files)

.PHONY: unit
unit: setup-test artefacts ## unit tests of the packages and tools, the dashboard's in a browser
	@python -m tools.artefacts vendor
	@mkdir -p tests/output
	@pytest --quiet jobs >tests/output/jobs.log 2>&1 & jobs=$$!; failed=; \
	  pytest --quiet tools dataset producer webapp || failed=1; \
	  wait $$jobs || failed=1; cat tests/output/jobs.log; test -z "$$failed"

.PHONY: molecule
molecule: setup-test artefacts ## every product's role on hosts of its own, twice, and its checks
	@python -m tests.labs mini molecule 192.168.58 13000 --mirror mini1
	@python -m lab destroy tests/output/molecule/molecule  # what an interrupted run left
	$(call step,Molecule,trap 'python -m lab destroy tests/output/molecule/molecule' EXIT; \
	  python -m lab up tests/output/molecule/molecule; \
	  ANSIBLE_INVENTORY=tests/output/molecule/molecule$(comma).lab/molecule/inventory.yml \
	  molecule test -s hdfs -s kafka -s spark -s retail)

.PHONY: e2e
e2e: setup-test ## the whole cluster in a lab of its own; what `make test` leaves out for its length, too
	$(call step,End to end,pytest tests $(E2E))

.PHONY: faults
faults: setup ## break the cluster COUNT (50) times while sales run through it: none is lost or counted twice
	@python -m tools.faults --count $(or $(COUNT),50) --seed $(or $(SEED),1) $(if $(SUSPENDED),--suspended $(SUSPENDED))

.PHONY: bench
bench: ## every claim about speed, as a ratio of one run; BENCH="batch producer" takes some
	@tools/bootstrap.sh bench
	@python -m bench $(BENCH)

.PHONY: help
help:
	@awk 'BEGIN {FS = ":.*## "; print "make VERB [PROFILE=lab]"} \
	  /^##@ / {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z0-9-]+:.*## / {printf "  %-13s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo; echo "Profiles: $(notdir $(wildcard inventories/*))"
