"""The papers' claims as commands: every algorithm on every use case, with its bytes, energy, memory and spread.

studies.py   which use case, model, settings and baselines a study has; every number that was tuned stands there
adapting.py  adaptation on the unseen tasks, and the references without a federation: scratch, pooled
memory.py    the RAM that learning takes on a device, by counted bytes
runs.py      one run (study, algorithm, fold, seed) to a file, many of them side by side; what is there is not run again
tables.py    what the runs say: means, intervals, rounds and bytes to the target, as Markdown
plots.py     the same as SVG
variants.py  TinyMetaFed with one part changed, and the sweep over P
claims.py    the claims of the papers and our goals as sentences, held or not
pages.py     a study's page: tables, plots and claims in a folder
recommend.py which of it to deploy within a budget
command.py   `tegu experiment`
"""
