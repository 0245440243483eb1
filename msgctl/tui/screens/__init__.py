"""The screens that open above the tabs, one module each."""
