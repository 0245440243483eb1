"""What is measured: counters and histograms of this process, and gauges of the whole pipeline.

Names carry their unit. Labels take few values: never a user, a message, a conversation or a workflow.
"""
