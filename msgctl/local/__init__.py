"""The whole pipeline on one machine: servers from wheels, stand-ins for foreign systems, and their supervisor."""
