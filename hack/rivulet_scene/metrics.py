"""What a process tells in Prometheus' text format."""


def total(text: str, name: str, **labels: str) -> float:
    """The sum of a metric's samples that carry these labels; 0 when there are none."""
    lines = (line for line in text.splitlines() if line.startswith((f"{name}{{", f"{name} ")))
    wanted = (line for line in lines if all(f'{key}="{value}"' in line for key, value in labels.items()))
    return sum((float(line.rsplit(" ", 1)[1]) for line in wanted), 0.0)
