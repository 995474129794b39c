"""``hft topology``: the wiring, as a table and as a picture."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hft.runtime import topology
from hft.runtime.exit_codes import ExitCode


def show() -> int:
    """Show the wiring: services and links.

    Who writes, who reads, who waits for whom, and how large links are and why.
    """
    console = Console()
    console.print(Text(topology.DIAGRAM, style="cyan"), soft_wrap=True)
    console.print()
    links = Table(
        "link", "writer", "gating", "observing", box=box.SIMPLE_HEAD, title="links", title_justify="left"
    )
    links.add_column("depth", justify="right")
    links.add_column("mtu", justify="right")
    for entry in topology.LINKS:
        links.add_row(
            Text(entry.name, style="bold"),
            entry.writer,
            ", ".join(entry.gating) or "–",
            ", ".join(entry.observing) or "–",
            str(entry.depth),
            str(entry.mtu),
        )
    console.print(links)
    for entry in topology.LINKS:
        console.print(f"  [bold]{entry.name}[/bold] [dim]{entry.why}[/dim]", highlight=False)
    console.print()
    services = Table(
        "service", "hot", "what it does", box=box.SIMPLE_HEAD, title="services", title_justify="left"
    )
    for spec in topology.SERVICES:
        services.add_row(Text(spec.name, style="bold"), "yes" if spec.hot else "", spec.what)
    console.print(services)
    return int(ExitCode.OK)
