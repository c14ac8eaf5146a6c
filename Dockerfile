# `walker serve`, with the destinations of this repository; see docs/howto/deploy.md.
FROM python:3.13-slim AS build
WORKDIR /src
COPY . .
RUN pip wheel --no-cache-dir --wheel-dir /wheels ".[serve,postgres]" ./walker_dest_customerio

FROM python:3.13-slim
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir --no-index /wheels/*.whl \
    && rm -r /wheels \
    && useradd --system --uid 10001 --create-home --home-dir /var/lib/walker walker
USER 10001
# The spool, and all that the flow names by a relative path.
WORKDIR /var/lib/walker
VOLUME /var/lib/walker
EXPOSE 8080
# Of another port, healthPath, or with TLS: --env HEALTH_URL=https://127.0.0.1:8443/alive. The names in
# a certificate are not checked, as it is not made out to 127.0.0.1. Without a source http: --no-healthcheck.
ENV HEALTH_URL=http://127.0.0.1:8080/health
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import os, ssl; from urllib.request import urlopen; tls = ssl.create_default_context(); tls.check_hostname = False; tls.verify_mode = ssl.CERT_NONE; urlopen(os.environ['HEALTH_URL'], timeout=2, context=tls)"]
# Without a shell, so that SIGTERM arrives.
ENTRYPOINT ["walker"]
CMD ["serve", "/etc/walker/flow.json", "--host", "0.0.0.0", "--port", "8080"]
