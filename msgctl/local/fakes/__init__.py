"""A fake n8n and fake providers for the demo, tests, and benchmarks."""
