"""The files of a release (docs/releasing.md). Only the standard library is imported, but for `sbom`, see there."""
