"""The sample upstream: two small real models behind the HTTP that model servers speak, with all that they leak."""
