"""The tools of operators beside the client: telemetry, health, the inspector and the doctor."""
