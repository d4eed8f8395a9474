"""`townwatch chaos`: a campaign of faults against a running service, with a workload of its own and a judge outside.

campaign: the whole course. plan: which fault when, from a seed. strike: pull one, and the time until all flows again.
workload, program: runners, programs and people. viewer, crowd, line: who watches. ledger: what must be true.
vitals: memory and descriptors. clock: distributions. progress, report, picture: what people see of it.
"""
