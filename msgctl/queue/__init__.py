"""RQ's side: the queue in RQ's own keys and format, written by our scripts, read truly by RQ's tools."""
