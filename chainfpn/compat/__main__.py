"""``python -m chainfpn.compat`` prints the table of stand-ins as Markdown."""

from chainfpn.compat import TABLE


def render():
    """Return the table of stand-ins as Markdown, a line per row."""
    lines = ["| missing | since | needed by | stand-in |", "|---|---|---|---|"]
    for row in TABLE:
        name = row.name.replace("|", r"\|")
        lines.append(f"| `{name}` | {row.since} | {row.needed_by} | {row.stand_in} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(render(), end="")
