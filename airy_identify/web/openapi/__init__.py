"""The HTTP interface described by itself: an OpenAPI document made of the Avro schemas, and a page made of that."""
