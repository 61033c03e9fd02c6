# One image for the site and the workers. The grader model runs beside it: a vLLM server
# (docker-compose.yml), or a model worker built with `--build-arg MODEL=cpu` or `gpu`.
FROM python:3.11-slim-bookworm AS base
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 RBR_BOOTSTRAP=0 RBR_HOME=/var/lib/rbr
RUN useradd --system --create-home --home-dir /var/lib/rbr rbr
WORKDIR /srv/rbr

COPY requirements.txt ./
RUN sed -n '/^# \[app\]/,/^# \[model\]/p' requirements.txt > app.txt \
    && pip install --no-deps -r app.txt

ARG MODEL=none
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN if [ "$MODEL" = cpu ]; then \
      apt-get update && apt-get install -y --no-install-recommends g++ libnuma1 \
      && rm -rf /var/lib/apt/lists/* \
      && sed -n '/^# \[model\]/,/^# \[test\]/p' requirements.txt > model.txt \
      && pip install --no-deps --extra-index-url "$TORCH_INDEX" -r model.txt; \
    elif [ "$MODEL" = gpu ]; then \
      pip install -c app.txt vllm==0.32.0; \
    fi

COPY manage.py pyproject.toml ./
COPY rbr_app rbr_app
COPY annotation annotation
COPY grading grading
COPY templates templates
USER rbr
EXPOSE 8000
CMD ["gunicorn", "-k", "gthread", "-w", "2", "--threads", "8", "--bind", "0.0.0.0:8000", "rbr_app.wsgi:application"]
