"""The formats of a report: text, HTML, SVG and JUnit's XML."""
