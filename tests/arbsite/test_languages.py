"""A language is offered only when everything is translated into it."""

import gettext
from pathlib import Path

from django.conf import settings
from django.test import Client


def test_every_language_but_the_source_has_a_whole_catalogue() -> None:
    for code, _name in settings.LANGUAGES:
        if code == settings.LANGUAGE_CODE:
            continue
        for domain in ("django", "djangojs"):
            catalogue = Path(settings.BASE_DIR) / "locale" / code / "LC_MESSAGES" / f"{domain}.mo"
            assert catalogue.exists(), f"{code} is in LANGUAGES without {domain}.mo"
            with catalogue.open("rb") as file:
                messages = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
            assert all(messages.values()), f"{code}: {domain}.mo has messages without a translation"
            source = catalogue.with_suffix(".po").read_text()
            assert "#, fuzzy" not in source, f"{code}: {domain}.po has fuzzy messages"


def test_a_browser_in_a_language_that_is_not_whole_gets_english(client: Client) -> None:
    for asked in ("ru", "ru-RU,ru;q=0.9", "de", "fr-CH, en;q=0.1"):
        page = client.get("/admin/login/", headers={"Accept-Language": asked}).content.decode()
        assert 'lang="en"' in page
        assert "Войти" not in page
