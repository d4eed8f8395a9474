"""`townwatch chaos`: a campaign of faults against a running service, with a workload of its own and a judge outside.

campaign: the whole course. plan: which fault when, from a seed. fault_runner: inject one, and the time until all flows
again. workload, program: runners, programs and people. viewer, idle_viewers, socketio_client: who watches. oracle: what
must be true. health: memory and descriptors. recovery_times: distributions. progress, report, html_report: what people
see of it.
"""
