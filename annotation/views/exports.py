"""Labels, Gold truths and conversations of a set as a file."""

from __future__ import annotations

from tempfile import TemporaryFile

from django.http import FileResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from annotation.forms.exchange import LabelExportForm
from annotation.models import ConversationSet
from annotation.selectors.export_files import (
    CONTENT_TYPES,
    Format,
    stream_export,
    write_export,
)
from annotation.selectors.label_exports import COLUMNS, LabelExport, What
from rbr_app.http import Request


@require_safe
def export_labels(request: Request, pk: int) -> HttpResponseBase:
    """The page with the choices; the file itself once `?what=` names a table."""
    found = get_object_or_404(ConversationSet.objects.select_related("policy"), pk=pk)
    is_asked = "what" in request.GET
    form = LabelExportForm(
        request.GET if is_asked else None,
        conversation_set=found,
        initial={name: value for name, value in request.GET.items() if value},
    )
    if is_asked and form.is_valid():
        return _download(form.as_export(), Format(form.cleaned_data["format"]))
    context = {
        "set": found,
        "form": form,
        "tables": [(What(what), list(columns)) for what, columns in COLUMNS.items()],
    }
    status = 422 if is_asked else 200
    return render(request, "annotation/export_labels.html", context, status=status)


def _download(export: LabelExport, file_format: Format) -> HttpResponseBase:
    name, kind = f"{export.name}.{file_format}", CONTENT_TYPES[file_format]
    if file_format != Format.PARQUET:
        return StreamingHttpResponse(
            stream_export(export, file_format),
            content_type=kind,
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )
    file = TemporaryFile()  # noqa: SIM115 (the response closes it)
    write_export(export, file_format, file)
    file.seek(0)
    return FileResponse(file, as_attachment=True, filename=name, content_type=kind)
