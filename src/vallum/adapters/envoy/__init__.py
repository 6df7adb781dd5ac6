"""What Envoy asks by: external authorisation, external processing and rate limits, over gRPC."""
