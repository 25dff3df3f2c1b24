"""The director: entry point, table keeper and load balancer of one region (docs/contract.md §4, §6, §7)."""
