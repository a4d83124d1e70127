"""Outside: plans and runs as SVG, DOT, Mermaid, text and PNG."""
