"""The canary: `canary` sends a synthetic message again and again, and `location` finds the stage it reached."""
