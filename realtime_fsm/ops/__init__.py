"""What operators use beside the client: telemetry, health, the inspector and the doctor."""
