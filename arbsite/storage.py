"""Static files for production: every file under a name with its content's hash, cached for good."""

from whitenoise.storage import CompressedManifestStaticFilesStorage


class StaticStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """Hashed names inside ES modules too: `import "./x.js"` is rewritten to the hashed file."""

    support_js_module_import_aggregation = True
