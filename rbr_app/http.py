"""What the views of both apps share: fragments, redirects and pages of a list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from django.contrib.auth.models import User
from django.core.paginator import Page, Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.http import url_has_allowed_host_and_scheme
from django_htmx.http import HttpResponseClientRedirect
from django_htmx.middleware import HtmxDetails

T = TypeVar("T")
M = TypeVar("M", bound=Model)


class Request(HttpRequest):
    """A request as views see it: `LoginRequiredMiddleware` let only a user through."""

    htmx: HtmxDetails
    user: User


def wants_fragment(request: Request) -> bool:
    """Whether htmx asks for a part of the page. Going back in history needs all of it."""
    return bool(request.htmx) and not request.htmx.history_restore_request


def render_list(
    request: Request, page: str, fragment: str, context: dict[str, Any]
) -> HttpResponse:
    """The page, or only its fragment for htmx; caches keep the two apart."""
    response = render(request, fragment if wants_fragment(request) else page, context)
    response["Vary"] = "HX-Request"
    return response


def see_other(request: Request, url: str) -> HttpResponse:
    """Send the browser to `url` after a POST, with and without htmx."""
    return HttpResponseClientRedirect(url) if request.htmx else HttpResponseRedirect(url)


def page_of(request: HttpRequest, items: Sequence[T] | QuerySet[Any], size: int) -> Page[Any]:
    """The page that `?page=` asks for; a number that makes no sense gives the nearest page."""
    return Paginator(items, size).get_page(request.GET.get("page"))


def safe_path(request: HttpRequest, path: str) -> str:
    """`path` if it is one of this site, else nothing."""
    here = path.startswith("/") and url_has_allowed_host_and_scheme(path, allowed_hosts=None)
    return path if here else ""
